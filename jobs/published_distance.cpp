#include "jobs/published_distance.h"

#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The largest number whose root is at most `radius`: several have the same root.
float largest_square(float radius) {
  float square = radius * radius;
  while (std::sqrt(square) > radius) square = std::nextafter(square, 0.0f);
  while (square < kInfinity && std::sqrt(std::nextafter(square, kInfinity)) <= radius)
    square = std::nextafter(square, kInfinity);
  return square;
}

}  // namespace

std::string published_name(Metric metric) {
  return metric == Metric::l2 ? "euclidean" : metric == Metric::cosine ? "angular" : "ip";
}

float published_distance(float distance, Metric metric) {
  return metric == Metric::l2 ? std::sqrt(distance) : distance;
}

float distance_limit(double radius, Metric metric) {
  const float rounded = float(radius);
  return metric == Metric::l2              ? largest_square(rounded)
         : metric == Metric::inner_product ? -rounded
                                           : rounded;
}

void check_radius(double radius, Metric metric, const char* key) {
  if (!(metric == Metric::inner_product || radius >= 0))
    throw Error(ExitCode::usage, fmt::format("no distance is within a radius of {}", radius), key,
                "give 0 or more");
}

}  // namespace tutti
