#include "runtime/data/manifest.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/paths.h"
#include "runtime/io/file.h"
#include "runtime/io/sealed_json.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::ScratchFolder;

Manifest example() {
  Manifest manifest;
  manifest.kind = kDatasetKind;
  manifest.tables = {{{"pages", {ColumnSchema::scalar("id", DType::i32)}}, {1, 2}}};
  for (int i = 0; i < 2; ++i)
    manifest.files.push_back({shard_file(i),
                              2048 + 4 * (i + 1),
                              7,
                              {{"/pages/id", DType::i32, {i + 1}, 2048, 4 * (i + 1), {9}}}});
  manifest.files.push_back({kTokenizerFile, 100, 5, {}});
  manifest.metadata = {{"seed", 3}};
  manifest.digest = artefact_digest(manifest.files);
  return manifest;
}

ExitCode code_of_loading(const std::filesystem::path& folder, std::string_view kind = "") {
  try {
    load_manifest(folder, kind);
    return ExitCode::done;
  } catch (const Error& error) {
    return error.code();
  }
}

TEST(Manifest, survives_the_disk) {
  const ScratchFolder scratch("manifest");
  write_sealed_json(scratch.path() / kManifestFile, to_json(example()));
  const Manifest manifest = load_manifest(scratch.path(), kDatasetKind);
  EXPECT_EQ(manifest, example());
  EXPECT_EQ(manifest.shards(), 2);
  EXPECT_EQ(manifest.find_table("pages")->rows(), 3);
  EXPECT_EQ(manifest.find_table("page"), nullptr);
  EXPECT_EQ(manifest.find_file(kTokenizerFile)->bytes, 100);
  EXPECT_EQ(manifest.find_file("zzz"), nullptr);
}

TEST(Manifest, every_flipped_byte_is_found) {
  const ScratchFolder scratch("manifest");
  const auto path = scratch.path() / kManifestFile;
  write_sealed_json(path, to_json(example()));
  const std::string good = read_file(path);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = char(bad[i] ^ 0x20);
    testing::write_text(path, bad);
    EXPECT_EQ(code_of_loading(scratch.path()), ExitCode::data) << i;
  }
}

TEST(Manifest, what_is_missing_or_another_is_said) {
  const ScratchFolder scratch("manifest");
  EXPECT_EQ(code_of_loading(scratch.path() / "none"), ExitCode::usage);
  EXPECT_EQ(code_of_loading(scratch.path()), ExitCode::data);
  write_sealed_json(scratch.path() / kManifestFile, to_json(example()));
  EXPECT_EQ(code_of_loading(scratch.path(), kModelKind), ExitCode::data);
}

TEST(Manifest, inconsistent_ones_are_bad_data) {
  const std::vector<std::pair<std::string, json>> changes = {
      {"/version", kManifestVersion + 1},
      {"/kind", 4},
      {"/metadata", json::array({1})},
      {"/files/0/bytes", 1e300},
      {"/tables/0/shard_rows", {1, -2}},
      {"/tables/0/shard_rows", {std::int64_t(1) << 62, std::int64_t(1) << 62}},
      {"/tables/0/shard_rows", {1, 2, 3}},
      {"/files/0/name", "tokenizer.model"},
      {"/files/0/bytes", 9},
      {"/files/1/header_crc32c", "00000008"},
      {"/digest", "99aa06d3014798d86001c324468d497f"}};
  for (const auto& [pointer, value] : changes) {
    json bad = to_json(example());
    bad[json::json_pointer(pointer)] = value;
    EXPECT_THROW(manifest_from_json(bad, "here"), Error) << pointer << " = " << value;
  }
  json twice = to_json(example());
  twice["tables"].push_back(twice["tables"][0]);
  EXPECT_THROW(manifest_from_json(twice, "here"), Error);
}

TEST(Manifest, metadata_are_text_or_an_error) {
  Manifest manifest = example();
  manifest.metadata["metric"] = "cosine";
  EXPECT_EQ(manifest.metadata_text("metric", "l2"), "cosine");
  EXPECT_EQ(manifest.metadata_text("model", "none"), "none");
  EXPECT_THROW(manifest.metadata_text("seed"), Error);
}

TEST(Manifest, the_digest_is_that_of_the_contents) {
  Manifest other = example();
  other.metadata = {{"seed", 4}};
  EXPECT_EQ(artefact_digest(other.files), example().digest);
  other.files[1].extents[0].crc32c[0] ^= 1;
  EXPECT_NE(artefact_digest(other.files), example().digest);
}

}  // namespace
}  // namespace tutti
