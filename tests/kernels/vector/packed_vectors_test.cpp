#include "kernels/vector/packed_vectors.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/vector/support.h"

namespace tutti {
namespace {

constexpr std::int64_t kLanes = PackedVectors::kLanes;

float element(const PackedVectors& packed, std::int64_t i, std::int64_t j) {
  return packed.group(i / kLanes)[j * kLanes + i % kLanes];
}

TEST(PackedVectors, HoldsEveryElementAndZeros) {
  for (const std::int64_t dim : {1, 3, 64, 65, 130}) {
    for (const std::int64_t count : {0, 1, 15, 16, 17, 50}) {
      const test::Matrix rows(count, dim, 1);
      const PackedVectors packed{VectorRows(rows.view())};
      ASSERT_EQ(packed.count(), count);
      ASSERT_EQ(packed.dim(), dim);
      for (std::int64_t i = 0; i < packed.groups() * kLanes; ++i) {
        for (std::int64_t j = 0; j < dim; ++j) {
          ASSERT_EQ(element(packed, i, j), i < count ? rows.view()(i, j) : 0.0f);
        }
      }
    }
  }
}

TEST(PackedVectors, ReusedMemoryHoldsNothingOld) {
  const test::Matrix many(40, 9, 2);
  const test::Matrix few(3, 7, 3);
  PackedVectors packed{VectorRows(many.view())};
  packed.pack(few.view());
  EXPECT_EQ(packed.groups(), 1);
  for (std::int64_t i = 0; i < kLanes; ++i) {
    for (std::int64_t j = 0; j < 7; ++j) {
      EXPECT_EQ(element(packed, i, j), i < 3 ? few.view()(i, j) : 0.0f);
    }
  }
}

template <class T>
void expect_converted(const std::vector<T>& data, DType type, float (*value)(T)) {
  const VectorRows rows(data.data(), type, 20, 5, 6);  // a stride of its own
  const PackedVectors packed{rows};
  std::vector<float> row(5);
  for (std::int64_t i = 0; i < 20; ++i) {
    copy_row(rows, i, row.data());
    for (std::int64_t j = 0; j < 5; ++j) {
      const float expected = value(data[static_cast<std::size_t>(i * 6 + j)]);
      EXPECT_EQ(element(packed, i, j), expected);
      EXPECT_EQ(row[static_cast<std::size_t>(j)], expected);
    }
  }
}

TEST(PackedVectors, ConvertsEveryType) {
  std::vector<bf16> b;
  std::vector<std::uint16_t> h;
  std::vector<std::uint8_t> u;
  std::vector<std::int8_t> s;
  for (int i = 0; i < 120; ++i) {
    b.push_back(bf16(0.37f * static_cast<float>(i - 60)));
    h.push_back(f16_from_float(0.41f * static_cast<float>(i - 60)));
    u.push_back(static_cast<std::uint8_t>(2 * i + 10));
    s.push_back(static_cast<std::int8_t>(2 * i - 120));
  }
  expect_converted<bf16>(b, DType::bf16, [](bf16 x) { return float(x); });
  expect_converted<std::uint16_t>(h, DType::f16, [](std::uint16_t x) { return float_from_f16(x); });
  expect_converted<std::uint8_t>(u, DType::u8, [](std::uint8_t x) { return float(x); });
  expect_converted<std::int8_t>(s, DType::i8, [](std::int8_t x) { return float(x); });
}

TEST(PackedVectors, HalfLengthsAreLowerBounds) {
  test::Matrix rows(33, 100, 4);
  rows.view()(5, 0) = 1e30f;
  rows.view()(6, 0) = test::kNaN;
  const PackedVectors packed{VectorRows(rows.view())};
  for (std::int64_t i = 0; i < rows.rows; ++i) {
    double square = 0;
    for (std::int64_t j = 0; j < 100; ++j) square += double(rows.view()(i, j)) * rows.view()(i, j);
    const float half = packed.half_lengths()[i];
    if (i == 5 || i == 6) {
      EXPECT_EQ(half, -test::kInf);
    } else {
      EXPECT_LT(half, square / 2);
      EXPECT_NEAR(half, square / 2, 1e-4 * square);
    }
  }
}

TEST(PackedVectors, Misuse) {
  const float x[4] = {};
  EXPECT_THROW(PackedVectors{VectorRows(x, DType::i32, 1, 4, 4)}, std::invalid_argument);
  EXPECT_THROW(PackedVectors{VectorRows(x, DType::f32, 1, 0, 4)}, std::invalid_argument);
  EXPECT_THROW(PackedVectors{VectorRows(x, DType::f32, 1, 4, 3)}, std::invalid_argument);
  EXPECT_THROW(PackedVectors{VectorRows(x, DType::f32, -1, 4, 4)}, std::invalid_argument);
}

}  // namespace
}  // namespace tutti
