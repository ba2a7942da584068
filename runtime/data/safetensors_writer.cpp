#include "runtime/data/safetensors_writer.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/data/safetensors.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

constexpr std::size_t kElementsAtOnce = std::size_t(1) << 18;

// In the reference's order of types, the later the further in front.
int rank_of(DType type) { return type == DType::f32 ? 2 : type == DType::bf16 ? 1 : 0; }

const char* name_in_file(DType type) {
  CHECK(type == DType::f32 || type == DType::f16 || type == DType::bf16);
  return type == DType::f32 ? "F32" : type == DType::bf16 ? "BF16" : "F16";
}

std::vector<std::size_t> file_order(std::span<const TensorSpec> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const int left = rank_of(tensors[a].dtype), right = rank_of(tensors[b].dtype);
    return left != right ? left > right : tensors[a].name < tensors[b].name;
  });
  return order;
}

// With the length in front.
std::string header_of(std::span<const TensorSpec> tensors, std::span<const std::size_t> order) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};  // which `transformers` asks for
  std::int64_t at = 0;
  for (const std::size_t index : order) {
    const TensorSpec& tensor = tensors[index];
    nlohmann::ordered_json& entry = header[tensor.name];
    entry["dtype"] = name_in_file(tensor.dtype);
    entry["shape"] = tensor.shape;
    entry["data_offsets"] = {at, at + tensor.bytes()};
    at += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

// Throws for a number that only an infinity could stand for.
void narrow(const TensorSpec& tensor, std::span<const float> values,
            std::span<std::uint16_t> halves) {
  const bool half = tensor.dtype == DType::f16;
  const unsigned exponent = half ? 0x7c00 : 0x7f80;
  bool fits = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[i] = half ? f16_from_float(values[i]) : bf16(values[i]).bits;
    fits = fits && ((halves[i] & exponent) != exponent || !std::isfinite(values[i]));
  }
  if (!fits)
    throw Error(ExitCode::data,
                fmt::format("it has a number that is too large for {}", name_of(tensor.dtype)),
                "tensor " + tensor.name, "choose another type, such as f32");
}

void write_narrow(File& file, const TensorSpec& tensor, std::span<const float> values,
                  std::int64_t at) {
  std::vector<std::uint16_t> halves(std::min(kElementsAtOnce, values.size()));
  for (std::size_t begin = 0; begin < values.size(); begin += kElementsAtOnce) {
    const auto part = values.subspan(begin, std::min(kElementsAtOnce, values.size() - begin));
    narrow(tensor, part, halves);
    file.write_at(std::as_bytes(std::span(halves).first(part.size())),
                  at + std::int64_t(2 * begin));
  }
}

void fill(File& file, std::span<const TensorSpec> tensors, const TensorSource& source) {
  const std::vector<std::size_t> order = file_order(tensors);
  const std::string header = header_of(tensors, order);
  auto at = std::int64_t(header.size());
  std::int64_t bytes = at;
  for (const TensorSpec& tensor : tensors) bytes += tensor.bytes();
  file.preallocate(bytes);
  file.write_at(std::as_bytes(std::span(header)), 0);
  for (const std::size_t index : order) {
    std::vector<float> values(std::size_t(tensors[index].elements()));
    source(index, values);
    if (tensors[index].dtype == DType::f32)
      file.write_at(std::as_bytes(std::span(values)), at);
    else
      write_narrow(file, tensors[index], values, at);
    at += tensors[index].bytes();
  }
  file.sync();
}

// The ranges of tensors that go into one file each.
std::vector<std::pair<std::size_t, std::size_t>> cut(std::span<const TensorSpec> tensors,
                                                     std::int64_t file_bytes) {
  std::vector<std::pair<std::size_t, std::size_t>> parts{{0, 0}};
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (bytes > 0 && bytes + tensors[i].bytes() > file_bytes) {
      parts.emplace_back(i, i);
      bytes = 0;
    }
    bytes += tensors[i].bytes();
    parts.back().second = i + 1;
  }
  return parts;
}

bool is_tensors_file(const std::string& name) {
  return name == kTensorsFile || name == kTensorsIndexFile ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

void remove_old_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> old;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (is_tensors_file(entry.path().filename().string())) old.push_back(entry.path());
  for (const auto& path : old) remove_file(path);
}

}  // namespace

std::int64_t TensorSpec::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t(1), std::multiplies<>());
}

std::int64_t TensorSpec::bytes() const { return elements() * std::int64_t(size_of(dtype)); }

void write_safetensors(const std::filesystem::path& path, std::span<const TensorSpec> tensors,
                       const TensorSource& source) {
  const std::filesystem::path temporary = temporary_of(path);
  try {
    File file(temporary, FileMode::create);
    fill(file, tensors, source);
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      throw_file_error("rename to", path, errno);
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  sync_folder(path.parent_path());
}

std::vector<std::string> write_safetensors_folder(const std::filesystem::path& folder,
                                                  std::span<const TensorSpec> tensors,
                                                  std::int64_t file_bytes,
                                                  const TensorSource& source) {
  remove_old_files(folder);
  const auto parts = cut(tensors, file_bytes);
  if (parts.size() == 1) {
    write_safetensors(folder / kTensorsFile, tensors, source);
    return {kTensorsFile};
  }
  nlohmann::json map;
  std::int64_t bytes = 0, elements = 0;
  std::vector<std::string> files;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto [begin, end] = parts[i];
    files.push_back(fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size()));
    write_safetensors(
        folder / files.back(), tensors.subspan(begin, end - begin),
        [&, first = begin](std::size_t t, std::span<float> to) { source(first + t, to); });
    for (const TensorSpec& tensor : tensors.subspan(begin, end - begin)) {
      map[tensor.name] = files.back();
      bytes += tensor.bytes();
      elements += tensor.elements();
    }
  }
  const nlohmann::json index = {
      {"metadata", {{"total_parameters", elements}, {"total_size", bytes}}}, {"weight_map", map}};
  atomic_replace(folder / kTensorsIndexFile, index.dump(2) + "\n");
  files.push_back(kTensorsIndexFile);
  return files;
}

}  // namespace tutti
