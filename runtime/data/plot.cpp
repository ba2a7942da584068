#include "runtime/data/plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

namespace tutti {
namespace {

constexpr double kWidth = 900, kHeight = 560;
constexpr double kLeft = 84, kRight = 872, kTop = 78, kBottom = 492;  // of the drawing itself
constexpr double kMargin = 14;  // between the drawing's frame and its outermost points
constexpr double kLegendRow = 20;
constexpr double kHalfDecade = 0.5;
constexpr double kTickRoom = 48;                   // across, for the number of a line
constexpr double kLabelRoom = 76, kLabelRow = 13;  // for what is written beside a point

// Told apart with any kind of colour vision (Okabe and Ito).
constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#000000", "#999999"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) >= 0x20)  // XML knows no other control characters
      out += c;
    else
      out += ' ';
  }
  return out;
}

bool can_be_drawn(const PlotPoint& p) {
  return std::isfinite(p.queries_per_second) && p.queries_per_second > 0 && p.recall >= 0 &&
         p.recall <= 1;
}

// Decades from 0: 0.9 is 1, 0.99 is 2.
double decades(double recall) { return 0 - std::log10(1 - recall); }

// Maps recalls and speeds to places.
class Axes {
 public:
  explicit Axes(const RecallPlot& plot) {
    double least = 9, most = 0, slowest = 1e300, fastest = 0;
    for (const PlotSeries& series : plot.series)
      for (const PlotPoint& p : series.points) {
        if (!can_be_drawn(p)) continue;
        slowest = std::min(slowest, p.queries_per_second);
        fastest = std::max(fastest, p.queries_per_second);
        least = std::min(least, p.recall < 1 ? decades(p.recall) : most_decades());
        if (p.recall < 1) most = std::max(most, decades(p.recall));
      }
    if (fastest == 0) slowest = fastest = least = 1;  // nothing to draw but the axes
    right_ = std::min(most_decades(), std::max(1.0, std::ceil(most))) + kHalfDecade;
    left_ = std::min(least > 2 ? std::floor(least) : least - 0.02, right_ - 1);
    if (left_ < 0.2) left_ = 0;
    low_ = std::log10(slowest) - 0.08;
    high_ = std::max(std::log10(fastest) + 0.12, low_ + 0.5);
  }

  double x(double recall) const {
    const double at = recall < 1 ? std::min(decades(recall), right_) : right_;
    return kLeft + kMargin + (at - left_) / (right_ - left_) * (kRight - kLeft - 2 * kMargin);
  }
  double y(double speed) const {
    return kBottom - (std::log10(speed) - low_) / (high_ - low_) * (kBottom - kTop);
  }

  // Recalls with a line and a number: 1, the nines, and of others those that there is room for.
  std::vector<double> recalls() const {
    std::vector<double> ticks = {1};
    const auto add = [&](double tick) {
      const auto close = [&](double other) { return std::abs(x(other) - x(tick)) < kTickRoom; };
      if (decades(tick) >= left_ && decades(tick) < right_ && std::ranges::none_of(ticks, close))
        ticks.push_back(tick);
    };
    for (double nines = 1; nines < right_; ++nines) add(1 - std::pow(10, 0 - nines));
    for (const double tick : {0.5, 0.0, 0.8}) add(tick);
    for (double nines = 1; nines < right_; ++nines) add(1 - std::pow(10, 0 - nines) / 2);
    for (const double tick : {0.7, 0.6, 0.3, 0.2, 0.1}) add(tick);
    return ticks;
  }
  // Speeds: 1, 2 and 5 times powers of ten, or these alone where there are many.
  std::vector<double> speeds() const {
    std::vector<double> ticks;
    for (double power = std::floor(low_); power <= high_; ++power)
      for (const double times : {1.0, 2.0, 5.0}) {
        const double tick = times * std::pow(10, power), at = std::log10(tick);
        const bool wanted = times == 1 || high_ - low_ < 4;
        if (wanted && at >= low_ && at <= high_) ticks.push_back(tick);
      }
    return ticks;
  }

 private:
  static double most_decades() { return 7; }

  double left_, right_, low_, high_;
};

class Picture {
 public:
  void line(double x1, double y1, double x2, double y2, const char* colour) {
    add("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\"/>\n", x1, y1,
        x2, y2, colour);
  }
  void text(double x, double y, int size, const char* anchor, const std::string& what,
            const std::string& more = "fill=\"#222222\"") {
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\" {}>{}</text>\n", x, y,
        size, anchor, more, escaped(what));
  }
  template <class... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Values>(values)...);
  }

  std::string finish(double height) {
    return fmt::format(
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
               "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"DejaVu Sans, Helvetica, Arial, "
               "sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
               kWidth, height) +
           svg_ + "</svg>\n";
  }

 private:
  std::string svg_;
};

std::string speed_text(double speed) {
  if (speed >= 1e6) return fmt::format("{:g}M", speed / 1e6);
  return speed >= 1e3 ? fmt::format("{:g}k", speed / 1e3) : fmt::format("{:g}", speed);
}

void draw_axes(Picture& picture, const Axes& axes, const RecallPlot& plot) {
  const char* grid = "#e2e2e2";
  for (const double recall : axes.recalls()) {
    picture.line(axes.x(recall), kTop, axes.x(recall), kBottom, grid);
    picture.text(axes.x(recall), kBottom + 20, 13, "middle", fmt::format("{:.7g}", recall));
  }
  for (const double speed : axes.speeds()) {
    picture.line(kLeft, axes.y(speed), kRight, axes.y(speed), grid);
    picture.text(kLeft - 8, axes.y(speed) + 4.5, 13, "end", speed_text(speed));
  }
  picture.add(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#444444\"/>\n",
      kLeft, kTop, kRight - kLeft, kBottom - kTop);
  picture.text(kLeft, 34, 18, "start", plot.title);
  picture.text(kLeft, 58, 13, "start", plot.subtitle, "fill=\"#555555\"");
  picture.text((kLeft + kRight) / 2, kBottom + 48, 15, "middle", plot.recall_name);
  const double middle = (kTop + kBottom) / 2;
  picture.text(24, middle, 15, "middle", "queries a second",
               fmt::format("fill=\"#222222\" transform=\"rotate(-90 24 {:.1f})\"", middle));
}

void draw_series(Picture& picture, const Axes& axes, const PlotSeries& series, const char* colour) {
  std::vector<PlotPoint> points;
  std::ranges::copy_if(series.points, std::back_inserter(points), can_be_drawn);
  std::string places;
  for (const PlotPoint& p : points)
    places += fmt::format("{:.1f},{:.1f} ", axes.x(p.recall), axes.y(p.queries_per_second));
  picture.add("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", places,
              colour);
  std::vector<std::pair<double, double>> labels;
  for (const PlotPoint& p : points) {
    const double x = axes.x(p.recall), y = axes.y(p.queries_per_second);
    picture.add("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", x, y, colour);
    const auto hides = [&](const std::pair<double, double>& other) {
      return std::abs(other.first - x) < kLabelRoom && std::abs(other.second - y) < kLabelRow;
    };
    if (p.label.empty() || std::ranges::any_of(labels, hides)) continue;
    labels.emplace_back(x, y);
    const bool at_edge = x > kRight - kLabelRoom;  // then below: lines fall to the right
    picture.text(at_edge ? x - 8 : x + 7, at_edge ? y + 17 : y - 8, 11, at_edge ? "end" : "start",
                 p.label, "fill=\"#555555\"");
  }
}

// Below the drawing, where it hides nothing.
void draw_legend(Picture& picture, const RecallPlot& plot) {
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const double y = kHeight + kLegendRow * double(i);
    const char* colour = kColours[i % std::size(kColours)];
    picture.add(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" "
        "stroke-width=\"2\"/>\n",
        kLeft, y, kLeft + 24, y, colour);
    picture.add("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n", kLeft + 12, y,
                colour);
    picture.text(kLeft + 32, y + 4.5, 13, "start", plot.series[i].name);
  }
}

}  // namespace

std::string recall_plot_svg(const RecallPlot& plot) {
  const Axes axes(plot);
  Picture picture;
  draw_axes(picture, axes, plot);
  for (std::size_t i = 0; i < plot.series.size(); ++i)
    draw_series(picture, axes, plot.series[i], kColours[i % std::size(kColours)]);
  draw_legend(picture, plot);
  return picture.finish(kHeight + kLegendRow * double(plot.series.size()));
}

}  // namespace tutti
