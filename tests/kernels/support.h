// What the tests of kernels share: random data, comparison in which NaN never passes, thread
// counts.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>
#include <omp.h>

#include "kernels/core/dtype.h"
#include "kernels/core/random.h"

namespace tutti::test {

// Normal values, scaled.
template <class T = float>
std::vector<T> random_values(std::uint64_t seed, std::int64_t count, double scale = 1.0) {
  std::vector<T> values(count);
  for (std::int64_t i = 0; i < count; ++i)
    values[i] = static_cast<T>(static_cast<float>(scale * random_normal(seed, 0, i)));
  return values;
}

template <class T>
std::vector<float> to_floats(const std::vector<T>& values) {
  std::vector<float> floats(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) floats[i] = static_cast<float>(values[i]);
  return floats;
}

template <class T>
std::vector<double> to_doubles(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

// Fails unless both are as long and every pair is within absolute + relative * |expected|.
template <class A, class B>
void expect_near(const std::vector<A>& actual, const std::vector<B>& expected, double absolute,
                 double relative = 0) {
  ASSERT_EQ(actual.size(), expected.size());
  int failures = 0;
  for (std::size_t i = 0; i < actual.size() && failures < 5; ++i) {
    const auto a = static_cast<double>(actual[i]), e = static_cast<double>(expected[i]);
    if (std::abs(a - e) <= absolute + relative * std::abs(e)) continue;
    ADD_FAILURE() << "element " << i << ": " << a << ", expected " << e;
    ++failures;
  }
}

template <class T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Runs `work`, which returns a vector, under 1, 2 and 3 threads and expects the same bytes.
template <class Work>
void expect_same_bytes_for_any_threads(Work&& work) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto expected = work();
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    EXPECT_TRUE(same_bytes(work(), expected)) << "with " << threads << " threads";
  }
  omp_set_num_threads(before);
}

// (f(x + h) - f(x - h)) / 2 h for every element of x, in double.
template <class Function>
std::vector<double> finite_differences(std::vector<double> x, Function&& f, double h = 1e-5) {
  std::vector<double> slopes;
  for (double& element : x) {
    const double kept = element;
    element = kept + h;
    const double above = f(x);
    element = kept - h;
    const double below = f(x);
    element = kept;
    slopes.push_back((above - below) / (2 * h));
  }
  return slopes;
}

}  // namespace tutti::test
