// Distances as a search gives them.
#pragma once

#include <string>

#include "kernels/vector/distance.h"

namespace tutti {

// What ann-benchmarks calls a metric.
std::string published_name(Metric metric);

// A distance of kernels/vector as it counts there: under l2 the Euclidean one, not squared.
float published_distance(float distance, Metric metric);

// The largest distance of kernels/vector that is within a radius: published_distance is at most
// the radius, as a 32-bit number; under the inner product, the product is at least that.
float distance_limit(double radius, Metric metric);

// Throws Error(usage) where nothing can be within the radius, naming `key`.
void check_radius(double radius, Metric metric, const char* key);

}  // namespace tutti
