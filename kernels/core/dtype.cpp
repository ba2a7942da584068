#include "kernels/core/dtype.h"

#include <array>
#include <stdexcept>
#include <string>

namespace tutti {
namespace {

struct Row {
  DType type;
  std::string_view name;
  std::size_t size;
};

constexpr std::array<Row, 8> kTypes = {{{DType::f32, "f32", 4},
                                        {DType::bf16, "bf16", 2},
                                        {DType::f16, "f16", 2},
                                        {DType::u8, "u8", 1},
                                        {DType::i8, "i8", 1},
                                        {DType::i32, "i32", 4},
                                        {DType::i64, "i64", 8},
                                        {DType::f64, "f64", 8}}};

const Row& row_of(DType type) {
  for (const Row& row : kTypes)
    if (row.type == type) return row;
  throw std::invalid_argument("not a data type: " + std::to_string(static_cast<int>(type)));
}

// `mantissa` / 2^shift, rounded to nearest, ties to even.
std::uint32_t round_shift(std::uint32_t mantissa, int shift) {
  const std::uint32_t half = 1u << (shift - 1);
  const std::uint32_t rest = mantissa & ((1u << shift) - 1);
  const std::uint32_t kept = mantissa >> shift;
  return kept + ((rest > half || (rest == half && (kept & 1u))) ? 1u : 0u);
}

}  // namespace

std::size_t size_of(DType type) { return row_of(type).size; }

std::string_view name_of(DType type) { return row_of(type).name; }

DType dtype_from_name(std::string_view name) {
  for (const Row& row : kTypes)
    if (row.name == name) return row.type;
  throw std::invalid_argument("unknown data type '" + std::string(name) +
                              "', expected f32, bf16, f16, u8, i8, i32, i64 or f64");
}

std::uint16_t f16_from_float(float value) {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (word >> 16) & 0x8000u;
  const std::uint32_t magnitude = word & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent > 15) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (exponent < -25) return static_cast<std::uint16_t>(sign);
  const std::uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  if (exponent < -14)  // a subnormal half; a carry out of the mantissa gives the smallest normal
    return static_cast<std::uint16_t>(sign | round_shift(mantissa, -exponent - 1));
  // A carry moves on into the exponent, and from the largest finite value to infinity.
  const std::uint32_t base = static_cast<std::uint32_t>(exponent + 14) << 10;
  return static_cast<std::uint16_t>(sign | (base + round_shift(mantissa, 13)));
}

float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace tutti
