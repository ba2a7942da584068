#include "runtime/data/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include <gtest/gtest.h>

namespace tutti {
namespace {

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++n;
  return n;
}

// Places of the circles, those of the legend last.
std::vector<std::pair<double, double>> circles(const std::string& svg) {
  const std::regex circle("<circle cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  std::vector<std::pair<double, double>> places;
  for (std::sregex_iterator it(svg.begin(), svg.end(), circle), end; it != end; ++it)
    places.emplace_back(std::stod((*it)[1]), std::stod((*it)[2]));
  return places;
}

TEST(Plot, NinesAreEquallyFarApartAndOneIsTheRightEdge) {
  const std::string svg =
      recall_plot_svg({"title",
                       "subtitle",
                       "recall@10",
                       {{"a", {{0.9, 1000, ""}, {0.99, 100, ""}, {0.999, 10, ""}, {1, 1, ""}}}}});
  const auto at = circles(svg);
  ASSERT_EQ(at.size(), 5u);
  EXPECT_NEAR(at[1].first - at[0].first, at[2].first - at[1].first, 0.2);
  EXPECT_GT(at[3].first, at[2].first);
  EXPECT_NEAR(at[1].second - at[0].second, at[2].second - at[1].second, 0.2);
  EXPECT_GT(at[1].second, at[0].second);  // slower is lower
  for (const char* text : {">0.9<", ">0.99<", ">0.999<", ">1<", ">100<", ">1k<", ">recall@10<",
                           ">queries a second<", ">title<", ">subtitle<"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
}

TEST(Plot, SeriesHaveTheirOwnColoursAndTheLegendNamesThem) {
  const std::string svg =
      recall_plot_svg({"", "", "r", {{"one", {{0.5, 10, "nprobe 1"}}}, {"two", {{0.6, 20, ""}}}}});
  EXPECT_NE(svg.find(">one<"), std::string::npos);
  EXPECT_NE(svg.find(">two<"), std::string::npos);
  EXPECT_NE(svg.find(">nprobe 1<"), std::string::npos);
  EXPECT_EQ(count(svg, "<polyline"), 2u);
  EXPECT_EQ(count(svg, "fill=\"#0072b2\""), 2u);  // the point's and the legend's
  EXPECT_EQ(count(svg, "fill=\"#d55e00\""), 2u);
}

TEST(Plot, TheLegendIsBelowAndHidesNothing) {
  const auto at =
      circles(recall_plot_svg({"", "", "r", {{"a", {{0.9, 1, ""}}}, {"b", {{0.99, 1000, ""}}}}}));
  ASSERT_EQ(at.size(), 4u);
  EXPECT_LT(std::max(at[0].second, at[1].second), at[2].second - 20);
  EXPECT_LT(at[2].second, at[3].second);
}

TEST(Plot, TextsAreEscaped) {
  const std::string svg = recall_plot_svg({"a < b & \"c\"\x01", "", "r", {{"<x>", {}}}});
  EXPECT_NE(svg.find(">a &lt; b &amp; &quot;c&quot; <"), std::string::npos);
  EXPECT_NE(svg.find(">&lt;x&gt;<"), std::string::npos);
}

TEST(Plot, WhatCannotBeDrawnIsLeftOut) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<PlotPoint>& points :
       {std::vector<PlotPoint>{{nan, 1, ""},
                               {0.5, nan, ""},
                               {0.5, 0, ""},
                               {2, 1, ""},
                               {-1, 1, ""},
                               {0.5, std::numeric_limits<double>::infinity(), ""}},
        std::vector<PlotPoint>{}}) {
    const std::string svg = recall_plot_svg({"t", "", "r", {{"a", points}}});
    EXPECT_EQ(circles(svg).size(), 1u);  // the legend's
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
  EXPECT_EQ(circles(recall_plot_svg({"t", "", "r", {{"a", {{1, 5, ""}, {1, 7, ""}}}}})).size(), 3u);
  EXPECT_EQ(circles(recall_plot_svg({"t", "", "r", {{"a", {{0, 5, ""}}}}})).size(), 2u);
}

}  // namespace
}  // namespace tutti
