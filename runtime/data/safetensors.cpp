#include "runtime/data/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::int64_t kLengthBytes = 8, kMostHeaderBytes = 100'000'000;
constexpr std::int64_t kElementsAtOnce = std::int64_t(1) << 18;

struct TypeRow {
  const char* name;
  std::int64_t bytes;
};
constexpr TypeRow kTypes[] = {
    {"F64", 8}, {"F32", 4},  {"F16", 2},     {"BF16", 2},    {"I64", 8},    {"I32", 4},
    {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},     {"U16", 2},    {"U8", 1},
    {"C64", 8}, {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}};

[[noreturn]] void wrong(const std::string& what, const std::string& place,
                        const std::string& fix = "copy the file again") {
  throw Error(ExitCode::data, what, place, fix);
}

// JSON in which no key stands twice in an object.
json parse_json(std::string_view text, const std::string& place) {
  std::vector<std::set<std::string>> keys;
  std::optional<std::string> twice;
  const auto watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      twice = value.get<std::string>();
    return true;
  };
  json parsed = json::parse(text, watch, false);
  if (parsed.is_discarded()) wrong("expected JSON", place);
  if (twice) wrong("\"" + *twice + "\" is there twice", place);
  return parsed;
}

std::int64_t bytes_of_type(const std::string& dtype, const std::string& place) {
  for (const TypeRow& type : kTypes)
    if (dtype == type.name) return type.bytes;
  wrong("the element type \"" + dtype + "\" is unknown", place, "convert it to F32, F16 or BF16");
}

// A list of whole numbers from 0 on.
std::vector<std::int64_t> numbers_of(const json& list, const char* what, const std::string& place) {
  std::vector<std::int64_t> numbers;
  if (!list.is_array()) wrong(fmt::format("expected a list in \"{}\"", what), place);
  for (const json& number : list) {
    const bool good =
        number.is_number_unsigned() && number.get<std::uint64_t>() <= std::uint64_t(INT64_MAX);
    if (!good) wrong(fmt::format("expected whole numbers in \"{}\"", what), place);
    numbers.push_back(number.get<std::int64_t>());
  }
  return numbers;
}

TensorEntry entry_of(const std::string& name, const json& value, std::int64_t data_begin,
                     std::int64_t data_bytes, const std::string& file) {
  const std::string place = file + ", tensor " + name;
  const bool complete = value.is_object() && value.size() == 3 && value.contains("dtype") &&
                        value["dtype"].is_string() && value.contains("shape") &&
                        value.contains("data_offsets");
  if (!complete) wrong("expected an object of dtype, shape and data_offsets", place);
  TensorEntry entry{name, value["dtype"], numbers_of(value["shape"], "shape", place), 0, 0};
  std::int64_t bytes = bytes_of_type(entry.dtype, place);
  for (const std::int64_t extent : entry.shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes)) wrong("its shape is too large", place);
  const auto offsets = numbers_of(value["data_offsets"], "data_offsets", place);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    wrong("expected a begin and an end in \"data_offsets\"", place);
  if (offsets[1] > data_bytes)
    wrong(fmt::format("it ends at byte {} of {} behind the header; expected all of it: the file is "
                      "cut short, or its header lies",
                      offsets[1], data_bytes),
          place);
  if (offsets[1] - offsets[0] != bytes)
    wrong(fmt::format("it has {} bytes; expected {}, from its shape and type",
                      offsets[1] - offsets[0], bytes),
          place);
  entry.begin = data_begin + offsets[0];
  entry.end = data_begin + offsets[1];
  return entry;
}

void check_metadata(const json& metadata, const std::string& file) {
  bool texts = metadata.is_object();
  for (const json& value : metadata) texts = texts && value.is_string();
  if (!texts) wrong("expected an object of texts in \"__metadata__\"", file);
}

// Sorts the tensors, and checks that they fill the bytes from `at` to `end`.
void check_cover(std::vector<TensorEntry>& tensors, std::int64_t at, std::int64_t end,
                 const std::string& file) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != at)
      wrong(fmt::format("it begins at byte {} of the file; expected {}: tensors stand without {}",
                        tensor.begin, at, tensor.begin < at ? "overlap" : "holes"),
            file + ", tensor " + tensor.name);
    at = tensor.end;
  }
  if (at != end) wrong(fmt::format("the tensors end at byte {}, the file at {}", at, end), file);
}

std::vector<TensorEntry> read_header(const File& file) {
  const std::string place = file.path().string();
  const std::int64_t size = file.size();
  if (size < kLengthBytes)
    wrong(fmt::format("the file has {} bytes; expected the header's length in the first 8", size),
          place);
  std::array<std::byte, kLengthBytes> raw;
  file.read_at(raw, 0);
  const auto length = std::bit_cast<std::uint64_t>(raw);
  if (length > std::uint64_t(kMostHeaderBytes) || std::int64_t(length) > size - kLengthBytes)
    wrong(fmt::format("the header claims {} bytes; expected at most {}", length,
                      std::min(kMostHeaderBytes, size - kLengthBytes)),
          place);
  std::string text(length, '\0');
  file.read_at(std::as_writable_bytes(std::span(text)), kLengthBytes);
  if (!text.starts_with('{')) wrong("the header does not begin with a brace", place);
  const json header = parse_json(text, place + ", header");
  const std::int64_t begin = kLengthBytes + std::int64_t(length);
  std::vector<TensorEntry> tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__")
      check_metadata(value, place);
    else
      tensors.push_back(entry_of(name, value, begin, size - begin, place));
  }
  check_cover(tensors, begin, size, place);
  return tensors;
}

void widen(DType type, std::span<const std::uint16_t> halves, std::span<float> values) {
  if (type == DType::f16)
    std::transform(halves.begin(), halves.end(), values.begin(), float_from_f16);
  else
    std::transform(halves.begin(), halves.end(), values.begin(),
                   [](std::uint16_t bits) { return float(bf16::from_bits(bits)); });
}

// A file's name in an index must not lead out of the folder.
void check_file_name(const std::string& name, const std::string& place) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\0') != std::string::npos)
    wrong("\"" + name + "\" is no name of a file in this folder", place);
}

}  // namespace

std::int64_t TensorEntry::elements() const {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  return elements;
}

DType float_type_of(const std::string& dtype) {
  if (dtype == "F32") return DType::f32;
  if (dtype == "F16") return DType::f16;
  if (dtype == "BF16") return DType::bf16;
  throw std::invalid_argument("no type of floats that we read: " + dtype);
}

bool is_float_type(const std::string& dtype) {
  return dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path, FileMode::read), tensors_(read_header(file_)) {}

void SafetensorsFile::read(const TensorEntry& tensor, std::span<float> values) const {
  CHECK(std::ssize(values) == tensor.elements(), tensor.name);
  if (!is_float_type(tensor.dtype))
    wrong("its elements are " + tensor.dtype + ", which is not supported",
          path().string() + ", tensor " + tensor.name, "convert it to F32, F16 or BF16");
  const DType type = float_type_of(tensor.dtype);
  if (type == DType::f32) return file_.read_at(std::as_writable_bytes(values), tensor.begin);
  std::vector<std::uint16_t> halves(
      std::size_t(std::min(kElementsAtOnce, std::int64_t(std::ssize(values)))));
  for (std::int64_t at = 0; at < std::ssize(values); at += kElementsAtOnce) {
    const auto count = std::size_t(std::min(kElementsAtOnce, std::ssize(values) - at));
    const auto part = std::span(halves).first(count);
    file_.read_at(std::as_writable_bytes(part), tensor.begin + 2 * at);
    widen(type, part, values.subspan(std::size_t(at), count));
  }
}

SafetensorsFolder::SafetensorsFolder(const std::filesystem::path& folder) {
  const bool has_index = std::filesystem::exists(folder / kTensorsIndexFile);
  if (!has_index && !std::filesystem::exists(folder / kTensorsFile))
    wrong(fmt::format("there is neither {} nor {}", kTensorsFile, kTensorsIndexFile),
          folder.string(), "give the folder of a model in the safetensors format");
  listed_in_ = (folder / (has_index ? kTensorsIndexFile : kTensorsFile)).string();
  if (has_index)
    add_indexed_files(folder);
  else
    add_file(folder / kTensorsFile);
}

void SafetensorsFolder::add_file(const std::filesystem::path& path) {
  files_.emplace_back(path);
  const std::vector<TensorEntry>& tensors = files_.back().tensors();
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (!places_.emplace(tensors[i].name, Place{files_.size() - 1, i}).second)
      wrong("it is in another file as well", path.string() + ", tensor " + tensors[i].name);
}

void SafetensorsFolder::add_indexed_files(const std::filesystem::path& folder) {
  const std::string place = (folder / kTensorsIndexFile).string();
  const json index = parse_json(read_file(folder / kTensorsIndexFile), place);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    wrong("expected an object \"weight_map\" of tensors and their files", place);
  const json& map = index["weight_map"];
  std::set<std::string> names;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) wrong("expected the name of a file for " + tensor, place);
    check_file_name(file, place);
    if (!std::filesystem::exists(folder / file.get<std::string>()))
      wrong(fmt::format("{} is not there; expected it beside the index, with tensor {}",
                        file.get<std::string>(), tensor),
            place);
    names.insert(file);
  }
  for (const std::string& name : names) add_file(folder / name);
  for (const auto& [tensor, file] : map.items())
    if (!find(tensor) || file_of(tensor) != (folder / file.get<std::string>()).string())
      wrong(fmt::format("tensor {} is not in {}; expected it there, as the index says", tensor,
                        file.get<std::string>()),
            place);
  for (const auto& [tensor, where] : places_)
    if (!map.contains(tensor))
      wrong("the index does not name it", file_of(tensor) + ", tensor " + tensor);
}

std::vector<const TensorEntry*> SafetensorsFolder::tensors() const {
  std::vector<const TensorEntry*> all;
  for (const auto& [name, place] : places_) all.push_back(find(name));
  return all;
}

const TensorEntry* SafetensorsFolder::find(const std::string& name) const {
  const auto it = places_.find(name);
  return it == places_.end() ? nullptr : &files_[it->second.file].tensors()[it->second.tensor];
}

std::string SafetensorsFolder::file_of(const std::string& name) const {
  return files_[places_.at(name).file].path().string();
}

void SafetensorsFolder::read(const std::string& name, std::span<float> values) const {
  const Place& place = places_.at(name);
  files_[place.file].read(files_[place.file].tensors()[place.tensor], values);
}

}  // namespace tutti
