// A picture of recall against speed, as SVG that needs neither scripts nor a viewer of ours.
#pragma once

#include <string>
#include <vector>

namespace tutti {

struct PlotPoint {
  double recall = 0;  // 0 to 1
  double queries_per_second = 0;
  std::string label;  // such as "nprobe 8", beside the point where there is room; may be empty
};

// One searcher at several settings: a line in a colour of its own.
struct PlotSeries {
  std::string name;
  std::vector<PlotPoint> points;  // joined in this order
};

struct RecallPlot {
  std::string title, subtitle;  // one line each
  std::string recall_name;      // of the axis: "recall@10"
  std::vector<PlotSeries> series;
};

// The picture: queries a second over recall, both logarithmic. Recall is drawn as its distance from
// 1, so that 0.9, 0.99 and 0.999 are equally far apart; 1 itself stands at the right edge. A legend
// names the series. Texts may be anything in UTF-8. Points that are no finite positive speed, or no
// recall from 0 to 1, are left out.
std::string recall_plot_svg(const RecallPlot& plot);

}  // namespace tutti
