// The element types that tensors, shards and checkpoints are made of.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tutti {

enum class DType : std::uint8_t { f32, bf16, f16, u8, i8, i32, i64, f64 };

// Bytes of one element.
std::size_t size_of(DType type);

// The name used in files and on the command line: "f32", "bf16", ...
std::string_view name_of(DType type);

// The type called `name`. Throws std::invalid_argument for an unknown name.
DType dtype_from_name(std::string_view name);

// bfloat16: the upper half of a float. Conversion from float rounds to nearest, ties to even; a NaN
// stays a (quiet) NaN, an infinity stays an infinity.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  explicit constexpr bf16(float value) {
    // Arithmetic throughout: with a branch for NaN, loops that convert would not become vector
    // code.
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const std::uint32_t quiet = (word >> 16) | 0x40u;
    const std::uint32_t is_nan =
        0u - ((0x7f800000u - (word & 0x7fffffffu)) >> 31);  // all ones, or zero
    bits = static_cast<std::uint16_t>((quiet & is_nan) | (rounded & ~is_nan));
  }
  explicit constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  static constexpr bf16 from_bits(std::uint16_t bits) {
    bf16 value;
    value.bits = bits;
    return value;
  }
  friend constexpr bool operator==(bf16 a, bf16 b) { return float(a) == float(b); }
};

// to = value, rounded to T (float or bf16). A loop over arrays stores a bf16 in this way, because
// GCC's vectoriser takes the assignment of a class for a copy of memory that it cannot widen.
template <class T>
constexpr void store(T& to, float value) {
  if constexpr (requires { to.bits; })
    to.bits = T(value).bits;
  else
    to = value;
}

// IEEE half precision, for storage. Conversion from float rounds to nearest, ties to even; values
// too large become an infinity, a NaN stays a (quiet) NaN, subnormals are kept.
std::uint16_t f16_from_float(float value);
float float_from_f16(std::uint16_t bits);

// The DType of a C++ element type.
template <class T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::u8;
template <>
inline constexpr DType dtype_of<std::int8_t> = DType::i8;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<double> = DType::f64;

}  // namespace tutti
