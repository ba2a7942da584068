#include "runtime/checkpoint/manifest.h"

#include <limits>

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

// Two ranks' parts of an array of five elements.
json example() {
  json parts = json::array();
  for (const Range range : {Range{0, 3}, Range{3, 5}}) {
    const std::string name = "part-0000" + std::to_string(parts.size()) + ".h5";
    const FileRecord file{
        name, 2080, 7, {{"/numbers", DType::f32, {range.size()}, 2048, 4 * range.size(), {9}}}};
    const json slice = {{"array", "numbers"}, {"begin", range.begin}, {"end", range.end}};
    parts.push_back({{"file", to_json(file)}, {"slices", {slice}}});
  }
  const json array = {{"name", "numbers"}, {"dtype", "f32"}, {"size", 5}};
  return {{"kind", kCheckpointKind}, {"format_version", kCheckpointVersion},
          {"generation", 4},         {"arrays", {array}},
          {"parts", parts},          {"state", {{"step", 3}}}};
}

ExitCode code_of(const json& value) {
  try {
    checkpoint_manifest_from_json(value, "here");
    return ExitCode::done;
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), "here");
    return e.code();
  }
}

TEST(CheckpointManifest, SaysWhereEverySliceIs) {
  const CheckpointManifest manifest = checkpoint_manifest_from_json(example(), "here");
  EXPECT_EQ(manifest.generation, 4);
  EXPECT_EQ(manifest.arrays, (std::vector<CheckpointArray>{{"numbers", DType::f32, 5}}));
  ASSERT_EQ(manifest.parts.size(), 2u);
  EXPECT_EQ(manifest.parts[1].file.name, "part-00001.h5");
  EXPECT_EQ(manifest.parts[1].slices.at(0).range, (Range{3, 5}));
  EXPECT_EQ(manifest.state, json({{"step", 3}}));
}

TEST(CheckpointManifest, WhatDoesNotHangTogetherIsBadData) {
  const std::vector<std::pair<const char*, json>> changes = {
      {"/kind", 7},
      {"/kind", "dataset"},
      {"/generation", 1e300},
      {"/arrays", 3},
      {"/arrays/0/dtype", "f65"},
      {"/arrays/0/dtype", "bf16"},
      {"/arrays/0/size", -5},
      {"/arrays/0/size", 6},
      {"/arrays/0/name", "letters"},
      {"/parts", {{"file", 1}}},
      {"/parts/0/slices", 1},
      {"/parts/0/slices/0/begin", -1},
      {"/parts/0/slices/0/end", 2},
      {"/parts/0/slices/0/end", std::numeric_limits<std::int64_t>::max()},
      {"/parts/0/file/extents/0/dataset", "/letters"},
      {"/parts/1/slices", json::array()},
      {"/state", json::array({1})},
  };
  for (const auto& [pointer, value] : changes) {
    json bad = example();
    bad[json::json_pointer(pointer)] = value;
    EXPECT_EQ(code_of(bad), ExitCode::data) << pointer << " = " << value;
  }
  for (const char* key : {"kind", "format_version", "generation", "arrays", "parts", "state"}) {
    json bad = example();
    bad.erase(key);
    EXPECT_EQ(code_of(bad), ExitCode::data) << key;
  }
  EXPECT_EQ(code_of(json()), ExitCode::data);
}

TEST(CheckpointManifest, ALaterVersionIsForALaterProgram) {
  json later = example();
  later["format_version"] = kCheckpointVersion + 1;
  EXPECT_EQ(code_of(later), ExitCode::usage);
}

}  // namespace
}  // namespace tutti
