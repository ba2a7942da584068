#include "kernels/core/dtype.h"

#include <cmath>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(DType, NamesAndSizes) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16, DType::u8, DType::i8, DType::i32,
                           DType::i64, DType::f64})
    EXPECT_EQ(dtype_from_name(name_of(type)), type);
  EXPECT_EQ(size_of(DType::f32), 4u);
  EXPECT_EQ(size_of(DType::bf16), 2u);
  EXPECT_EQ(size_of(DType::i64), 8u);
  EXPECT_THROW(dtype_from_name("f8"), std::invalid_argument);
  EXPECT_THROW(size_of(static_cast<DType>(99)), std::invalid_argument);
}

TEST(BFloat16, RoundsToNearestEven) {
  EXPECT_EQ(bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(bf16(-2.0f).bits, 0xc000);
  EXPECT_EQ(bf16(1.0f + 0x1p-8f).bits, 0x3f80);             // a tie, down to even
  EXPECT_EQ(bf16(1.0f + 3 * 0x1p-8f).bits, 0x3f82);         // a tie, up to even
  EXPECT_EQ(bf16(1.0f + 0x1p-8f + 0x1p-20f).bits, 0x3f81);  // above a tie
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(bf16(std::numeric_limits<float>::infinity()).bits, 0x7f80);
}

TEST(BFloat16, KeepsNaN) {
  EXPECT_TRUE(std::isnan(float(bf16(std::numeric_limits<float>::quiet_NaN()))));
  // A NaN whose upper half alone would read as infinity.
  EXPECT_TRUE(std::isnan(float(bf16(std::bit_cast<float>(0x7f800001u)))));
}

TEST(BFloat16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float(bf16::from_bits(static_cast<std::uint16_t>(bits)));
    if (!std::isnan(value)) {
      EXPECT_EQ(bf16(value).bits, bits);
    }
  }
}

TEST(Float16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = float_from_f16(static_cast<std::uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(float_from_f16(f16_from_float(value))));
    } else {
      EXPECT_EQ(f16_from_float(value), bits);
    }
  }
}

TEST(Float16, RoundsToNearestEven) {
  EXPECT_EQ(f16_from_float(1.0f), 0x3c00);
  EXPECT_EQ(f16_from_float(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(f16_from_float(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(f16_from_float(65504.0f), 0x7bff);
  EXPECT_EQ(f16_from_float(65519.0f), 0x7bff);
  EXPECT_EQ(f16_from_float(65520.0f), 0x7c00);
  EXPECT_EQ(f16_from_float(0x1p-24f), 0x0001);
  EXPECT_EQ(f16_from_float(0x1p-25f), 0x0000);  // a tie, down to even
  EXPECT_EQ(f16_from_float(0x1.8p-25f), 0x0001);
  EXPECT_EQ(f16_from_float(-0x1p-30f), 0x8000);
  EXPECT_EQ(f16_from_float(0x1.ffcp-15f), 0x03ff + 1);  // carries into the smallest normal
}

}  // namespace
}  // namespace tutti
