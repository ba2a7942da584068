#include "runtime/data/tensor_places.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

constexpr std::int64_t kTile = 32;  // rows and columns that stay in the cache together

[[noreturn]] void wrong(const std::string& what, const std::string& place) {
  throw Error(ExitCode::data, what, place,
              "give the folder of a whole model whose config.json belongs to its tensors");
}

// to[columns, rows] = from[rows, columns].
void transpose(std::span<const float> from, std::int64_t rows, std::int64_t columns,
               std::span<float> to) {
  for (std::int64_t top = 0; top < rows; top += kTile)
    for (std::int64_t left = 0; left < columns; left += kTile)
      for (std::int64_t r = top; r < std::min(top + kTile, rows); ++r)
        for (std::int64_t c = left; c < std::min(left + kTile, columns); ++c)
          to[std::size_t(c * rows + r)] = from[std::size_t(r * columns + c)];
}

// The part of an arena that a tensor fills.
template <class T>
std::span<T> part_of_arena(const TensorPlace& place, const ArenaLayout& layout,
                           std::span<T> arena) {
  std::int64_t size = 1;
  for (const std::int64_t extent : place.shape) size *= extent;
  const std::span<T> parameter = view_of(layout.find(place.parameter), arena);
  CHECK(place.first + size <= std::ssize(parameter), place.name);
  return parameter.subspan(std::size_t(place.first), std::size_t(size));
}

void check_tensor(const SafetensorsFolder& folder, const TensorPlace& place) {
  const TensorEntry* tensor = folder.find(place.name);
  if (!tensor) wrong("tensor " + place.name + " is missing", folder.listed_in());
  const std::string where = folder.file_of(place.name) + ", tensor " + place.name;
  if (tensor->shape != place.shape)
    wrong(fmt::format("its shape is [{}]; expected [{}]", fmt::join(tensor->shape, ", "),
                      fmt::join(place.shape, ", ")),
          where);
  if (!is_float_type(tensor->dtype))
    wrong("its elements are " + tensor->dtype + "; expected F32, F16 or BF16", where);
}

}  // namespace

void check_tensors(const SafetensorsFolder& folder, std::span<const TensorPlace> places,
                   const HarmlessTensor& harmless) {
  std::set<std::string> known;
  for (const TensorPlace& place : places) {
    check_tensor(folder, place);
    known.insert(place.name);
  }
  for (const TensorEntry* tensor : folder.tensors())
    if (!known.contains(tensor->name) && !harmless(tensor->name))
      wrong("the model has no place for tensor " + tensor->name, folder.file_of(tensor->name));
}

void read_tensors(const SafetensorsFolder& folder, std::span<const TensorPlace> places,
                  const ArenaLayout& layout, std::span<float> arena) {
  std::set<std::pair<std::string, std::int64_t>> filled;
  std::vector<float> values, again;
  for (const TensorPlace& place : places) {
    const std::span<float> part = part_of_arena(place, layout, arena);
    values.resize(part.size());
    folder.read(place.name, values);
    if (!filled.emplace(place.parameter, place.first).second) {
      again.resize(part.size());
      copy_tensor(place, layout, arena, again);
      if (std::memcmp(values.data(), again.data(), values.size() * sizeof(float)) != 0)
        wrong("it differs from the tensor that it is tied to",
              folder.file_of(place.name) + ", tensor " + place.name);
    } else if (place.transposed) {
      transpose(values, place.shape[0], place.shape[1], part);
    } else {
      std::copy(values.begin(), values.end(), part.begin());
    }
  }
}

void copy_tensor(const TensorPlace& place, const ArenaLayout& layout, std::span<const float> arena,
                 std::span<float> values) {
  const std::span<const float> part = part_of_arena(place, layout, arena);
  CHECK(part.size() == values.size(), place.name);
  if (place.transposed)
    transpose(part, place.shape[1], place.shape[0], values);
  else
    std::copy(part.begin(), part.end(), values.begin());
}

}  // namespace tutti
