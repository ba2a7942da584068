#include "runtime/data/vector_writer.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr std::pair<const char*, DType> kOneType[] = {
    {"fvecs", DType::f32},  {"ivecs", DType::i32}, {"bvecs", DType::u8}, {"fbin", DType::f32},
    {"f16bin", DType::f16}, {"u8bin", DType::u8},  {"i8bin", DType::i8}, {"ibin", DType::i32}};

template <class T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

std::string npy_header(std::int64_t rows, std::int64_t dimension, DType type) {
  const char* descr = type == DType::f32   ? "<f4"
                      : type == DType::f16 ? "<f2"
                      : type == DType::u8  ? "|u1"
                      : type == DType::i8  ? "|i1"
                      : type == DType::i32 ? "<i4"
                                           : "<i8";
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}, {}), }}",
                                 descr, rows, dimension);
  constexpr std::size_t kPrefix = 10, kAlignment = 64;
  text.resize((text.size() + 1 + kPrefix + kAlignment - 1) / kAlignment * kAlignment - kPrefix,
              ' ');
  text.back() = '\n';
  return "\x93NUMPY" + std::string("\x01\x00", 2) + bytes_of(std::uint16_t(text.size())) + text;
}

std::string file_header(const std::string& format, std::int64_t rows, std::int64_t dimension,
                        DType type) {
  if (format.ends_with("vecs")) return "";
  if (format == "npy") return npy_header(rows, dimension, type);
  if (rows > std::numeric_limits<std::uint32_t>::max())
    throw Error(ExitCode::usage,
                fmt::format("{} rows; {} files have at most 2^32 - 1", rows, format),
                "export.format", "choose npy or hdf5");
  return bytes_of(std::uint32_t(rows)) + bytes_of(std::uint32_t(dimension));
}

float value_at(const std::byte* from, DType type) {
  if (type == DType::u8) return float(std::uint8_t(*from));
  if (type == DType::i8) return float(std::int8_t(*from));
  if (type == DType::f32) {
    float value;
    std::memcpy(&value, from, sizeof(value));
    return value;
  }
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return type == DType::bf16 ? float(bf16::from_bits(bits)) : float_from_f16(bits);
}

struct Half {
  std::uint16_t bits;
};

// Whether `to` holds the number.
bool narrow(float value, float& to) {
  to = value;
  return true;
}
bool narrow(float value, Half& to) {
  to.bits = f16_from_float(value);
  return (to.bits & 0x7c00) != 0x7c00;
}
template <class Integer>
bool narrow(float value, Integer& to) {
  using Limits = std::numeric_limits<Integer>;
  if (!(value >= float(Limits::min()) && value <= float(Limits::max()))) return false;
  to = Integer(value);
  return float(to) == value;
}

}  // namespace

DType stored_type(const std::string& format, DType given) {
  for (const auto& [name, type] : kOneType)
    if (format == name) return type;
  if (format == "hdf5" && given != DType::u8) return DType::f32;  // VectorFile reads these two
  return given == DType::bf16 ? DType::f32 : given;
}

ElementConverter::ElementConverter(DType from, DType to, std::int64_t dimension)
    : from_(from), to_(to), dimension_(dimension) {
  const auto is_number = [](DType t) {
    return t == DType::f32 || t == DType::f16 || t == DType::u8 || t == DType::i8;
  };
  CHECK(from == to || ((is_number(from) || from == DType::bf16) && is_number(to)));
}

std::span<const std::byte> ElementConverter::convert(std::span<const std::byte> rows,
                                                     std::int64_t first_row) {
  if (from_ == to_) return rows;
  const std::size_t size = size_of(from_), count = rows.size() / size;
  values_.resize(count);
  for (std::size_t i = 0; i < count; ++i) values_[i] = value_at(rows.data() + i * size, from_);
  converted_.resize(count * size_of(to_));
  if (to_ == DType::f32) convert_to<float>(std::int64_t(count), first_row);
  if (to_ == DType::f16) convert_to<Half>(std::int64_t(count), first_row);
  if (to_ == DType::u8) convert_to<std::uint8_t>(std::int64_t(count), first_row);
  if (to_ == DType::i8) convert_to<std::int8_t>(std::int64_t(count), first_row);
  return converted_;
}

template <class To>
void ElementConverter::convert_to(std::int64_t count, std::int64_t first_row) {
  for (std::int64_t i = 0; i < count; ++i) {
    To to;
    if (!narrow(values_[std::size_t(i)], to))
      throw Error(ExitCode::data,
                  fmt::format("row {}, element {} is {}, which {} does not hold",
                              first_row + i / dimension_, i % dimension_, values_[std::size_t(i)],
                              name_of(to_)),
                  "export.format", "choose a format of another type, such as fbin");
    std::memcpy(converted_.data() + i * std::int64_t(sizeof(To)), &to, sizeof(To));
  }
}

VectorWriter::VectorWriter(const std::filesystem::path& path, const std::string& format,
                           std::int64_t rows, std::int64_t dimension, DType given)
    : header_(file_header(format, rows, dimension, stored_type(format, given))),
      row_header_(format.ends_with("vecs") ? bytes_of(std::int32_t(dimension)) : ""),
      row_bytes_(dimension * std::int64_t(size_of(given))),
      stored_row_bytes_(dimension * std::int64_t(size_of(stored_type(format, given)))),
      converter_(given, stored_type(format, given), dimension),
      file_(path, std::int64_t(header_.size()) +
                      rows * (std::int64_t(row_header_.size()) + stored_row_bytes_)) {
  file_.append(std::as_bytes(std::span(header_)));
}

void VectorWriter::append(std::span<const std::byte> rows) {
  const std::span<const std::byte> stored = converter_.convert(rows, next_row_);
  next_row_ += std::int64_t(rows.size()) / row_bytes_;
  if (row_header_.empty()) return file_.append(stored);
  for (std::size_t at = 0; at < stored.size(); at += std::size_t(stored_row_bytes_)) {
    file_.append(std::as_bytes(std::span(row_header_)));
    file_.append(stored.subspan(at, std::size_t(stored_row_bytes_)));
  }
}

}  // namespace tutti
