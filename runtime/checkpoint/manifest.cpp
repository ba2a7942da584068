#include "runtime/checkpoint/manifest.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/base/error.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using nlohmann::json;

void require(bool good, const std::string& problem, const std::string& place) {
  if (!good) throw Error(ExitCode::data, problem, place);
}

CheckpointArray array_from_json(const json& value, const std::string& place) {
  CheckpointArray array{value.at("name").get<std::string>(), DType::f32,
                        integer_of(value.at("size"))};
  try {
    array.dtype = dtype_from_name(value.at("dtype").get<std::string>());
  } catch (const std::invalid_argument&) {
    throw Error(ExitCode::data, "array " + array.name + " is of an unknown element type", place);
  }
  require(array.size >= 0, "array " + array.name + " has a negative size", place);
  return array;
}

CheckpointSlice slice_from_json(const json& value, const FileRecord& file,
                                std::span<const CheckpointArray> arrays, const std::string& place) {
  CheckpointSlice slice{value.at("array").get<std::string>(),
                        {integer_of(value.at("begin")), integer_of(value.at("end"))},
                        0};
  const auto array = std::find_if(arrays.begin(), arrays.end(),
                                  [&](const auto& a) { return a.name == slice.array; });
  require(array != arrays.end(), "a slice is of the array " + slice.array + ", which is not listed",
          place);
  require(slice.range.begin >= 0 && slice.range.begin <= slice.range.end &&
              slice.range.end <= array->size,
          "a slice lies outside the array " + slice.array, place);
  slice.extent = file.find(checkpoint_dataset(slice.array));
  require(slice.extent >= 0, file.name + " has no dataset " + checkpoint_dataset(slice.array),
          place);
  const ExtentRecord& extent = file.extents[std::size_t(slice.extent)];
  require(extent.dtype == array->dtype && extent.elements() == slice.range.size(),
          extent.dataset + " in " + file.name + " is of another type or size than its slice",
          place);
  return slice;
}

void check_covered(const CheckpointManifest& manifest, const CheckpointArray& array,
                   const std::string& place) {
  std::vector<Range> ranges;
  for (const CheckpointPart& part : manifest.parts)
    for (const CheckpointSlice& slice : part.slices)
      if (slice.array == array.name && slice.range.size() > 0) ranges.push_back(slice.range);
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::int64_t end = 0;
  for (const Range& range : ranges) {
    require(range.begin == end, "the slices do not cover the array " + array.name + " once", place);
    end = range.end;
  }
  require(end == array.size, "the slices do not cover the array " + array.name, place);
}

CheckpointManifest parse(const json& value, const std::string& place) {
  require(value.at("kind").get<std::string>() == kCheckpointKind, "this is no checkpoint", place);
  CheckpointManifest manifest;
  manifest.generation = integer_of(value.at("generation"));
  if (integer_of(value.at("format_version")) > kCheckpointVersion)
    throw Error(ExitCode::usage,
                "generation " + std::to_string(manifest.generation) +
                    " was written by a newer version of Tutti",
                place, "continue with that version, or give another --run folder");
  for (const json& array : value.at("arrays"))
    manifest.arrays.push_back(array_from_json(array, place));
  for (const json& entry : value.at("parts")) {
    manifest.parts.push_back(checkpoint_part_from_json(entry, manifest.arrays, place));
  }
  for (const CheckpointArray& array : manifest.arrays) check_covered(manifest, array, place);
  manifest.state = value.at("state");
  require(manifest.state.is_object(), "its state is no object", place);
  return manifest;
}

}  // namespace

std::string checkpoint_dataset(const std::string& array) { return "/" + array; }

json to_json(const CheckpointPart& part) {
  json slices = json::array();
  for (const CheckpointSlice& slice : part.slices)
    slices.push_back(
        {{"array", slice.array}, {"begin", slice.range.begin}, {"end", slice.range.end}});
  return {{"file", to_json(part.file)}, {"slices", slices}};
}

std::vector<ColumnSpec> columns_of(const CheckpointPart& part) {
  std::vector<ColumnSpec> columns;
  for (const CheckpointSlice& slice : part.slices) {
    const ExtentRecord& extent = part.file.extents.at(std::size_t(slice.extent));
    columns.push_back(
        {extent.dataset, extent.dtype, extent.shape, {{"first_element", slice.range.begin}}});
  }
  return columns;
}

CheckpointPart checkpoint_part_from_json(const json& value, std::span<const CheckpointArray> arrays,
                                         const std::string& place) {
  try {
    CheckpointPart part{file_record_from_json(value.at("file"), place), {}};
    for (const json& slice : value.at("slices"))
      part.slices.push_back(slice_from_json(slice, part.file, arrays, place));
    return part;
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed part: ") + failure.what(), place);
  }
}

CheckpointManifest checkpoint_manifest_from_json(const json& value, const std::string& place) {
  try {
    return parse(value, place);
  } catch (const json::exception& failure) {
    throw Error(ExitCode::data, std::string("malformed checkpoint manifest: ") + failure.what(),
                place);
  }
}

CheckpointManifest checkpoint_manifest_from_json(const json& value, std::int64_t generation,
                                                 const std::string& place) {
  CheckpointManifest manifest = checkpoint_manifest_from_json(value, place);
  require(manifest.generation == generation,
          "it is of generation " + std::to_string(manifest.generation), place);
  return manifest;
}

}  // namespace tutti
