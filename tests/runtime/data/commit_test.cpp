#include "runtime/data/commit.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "runtime/comm/partition.h"
#include "runtime/data/dataset.h"
#include "runtime/data/paths.h"
#include "runtime/io/file.h"
#include "runtime/io/hdf5_import.h"
#include "runtime/io/sealed_json.h"
#include "tests/runtime/data/example_dataset.h"
#include "tests/support/fault_io.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;
using testing::write_example_dataset;

TEST(Commit, the_artefact_is_the_same_for_any_number_of_ranks) {
  const SharedFolder folder("commit");
  const Manifest manifest = write_example_dataset(world(), folder.path());
  EXPECT_EQ(load_manifest(folder.path(), kDatasetKind), manifest);
  world().barrier();
  EXPECT_EQ(write_example_dataset(world(), folder.path(), true), manifest);
  EXPECT_EQ(manifest.shards(), testing::kExampleShards);
  EXPECT_EQ(manifest.metadata.at("seed"), 3);
}

TEST(Commit, the_whole_file_shows_all_shards) {
  const SharedFolder folder("commit");
  write_example_dataset(world(), folder.path());
  const Hdf5Import whole(folder.path() / kWholeFile);
  std::vector<std::int64_t> pages(std::size_t(testing::kExampleRows));
  whole.read_rows(*whole.find("/passages/page"), 0, testing::kExampleRows, std::span(pages));
  std::vector<std::int64_t> offsets(std::size_t(testing::kExampleRows) + 1);
  whole.read_rows(*whole.find("/passages/tokens/offsets"), 0, testing::kExampleRows + 1,
                  std::span(offsets));
  std::vector<std::int32_t> tokens(std::size_t(offsets.back()));
  whole.read_rows(*whole.find("/passages/tokens/values"), 0, offsets.back(), std::span(tokens));
  for (std::int64_t row = 0; row < testing::kExampleRows; ++row) {
    EXPECT_EQ(pages[std::size_t(row)], testing::example_page(row));
    const std::vector<std::int32_t> mine(tokens.begin() + offsets[std::size_t(row)],
                                         tokens.begin() + offsets[std::size_t(row) + 1]);
    EXPECT_EQ(mine, testing::example_tokens(row));
  }
}

TEST(Commit, beginning_removes_the_old_artefact_and_leftovers_only) {
  const SharedFolder folder("commit");
  write_example_dataset(world(), folder.path());
  if (world().is_root()) {
    testing::write_text(folder.path() / spool_file(1, 2), "x");
    testing::write_text(folder.path() / "manifest.json.tmp", "x");
    testing::write_text(folder.path() / kLogFile, "x");
  }
  world().barrier();
  begin_artefact(world(), folder.path());
  if (world().is_root()) {
    std::vector<std::string> left;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
      left.push_back(entry.path().filename());
    EXPECT_EQ(left, std::vector<std::string>{kLogFile});
  }
}

TEST(Commit, no_manifest_is_left_where_a_call_fails) {
  const SharedFolder folder("commit");
  write_example_dataset(world(), folder.path());
  for (int n = 1;; ++n) {
    world().barrier();
    if (world().is_root()) tutti_fault_set(("any:" + std::to_string(n) + ":EIO").c_str());
    bool failed = false;
    try {
      write_example_dataset(world(), folder.path());
    } catch (const Error& error) {
      failed = true;
      EXPECT_EQ(error.code(), ExitCode::io);
      EXPECT_TRUE(error.agreed());
    }
    const bool fired =
        world().all_reduce_max(std::int64_t(world().is_root() && tutti_fault_fired())) != 0;
    tutti_fault_set(nullptr);
    EXPECT_EQ(failed, fired) << n;
    EXPECT_EQ(std::filesystem::exists(folder.path() / kManifestFile), !failed) << n;
    if (!fired) break;
    ASSERT_LT(n, 1000);
  }
}

TEST(Commit, an_artefact_may_have_files_alone) {
  const SharedFolder folder("commit");
  begin_artefact(world(), folder.path());
  ArtefactParts mine;
  if (world().is_root()) {
    testing::write_text(folder.path() / kTokenizerFile, "words");
    mine.files.push_back(record_plain_file(folder.path() / kTokenizerFile));
  }
  const Manifest manifest = commit_artefact(world(), folder.path(), {kModelKind, {}}, mine);
  EXPECT_EQ(manifest.shards(), 0);
  ASSERT_EQ(manifest.files.size(), 1u);
  EXPECT_EQ(manifest.files[0].name, kTokenizerFile);
}

TEST(Commit, a_change_that_fails_leaves_the_old_artefact) {
  const SharedFolder folder("commit");
  const Manifest old = write_example_dataset(world(), folder.path());
  for (int n = 1;; ++n) {
    ArtefactParts mine;
    if (world().is_root()) {
      testing::write_text(folder.path() / deleted_file(1), "rows");
      mine.files.push_back(record_plain_file(folder.path() / deleted_file(1)));
      tutti_fault_set(("any:" + std::to_string(n) + ":EIO").c_str());
    }
    bool failed = false;
    try {
      const Manifest changed =
          commit_change(world(), folder.path(), old, {{{"generation", 1}}, ""}, mine);
      EXPECT_NE(changed.digest, old.digest);
      EXPECT_EQ(changed.tables, old.tables);
    } catch (const Error& error) {
      failed = true;
      EXPECT_TRUE(error.agreed());
    }
    tutti_fault_set(nullptr);
    world().barrier();
    const Manifest now = load_manifest(folder.path(), kDatasetKind);
    EXPECT_TRUE(now == old || now.metadata == nlohmann::json({{"generation", 1}})) << n;
    EXPECT_TRUE(failed || now != old) << n;
    if (!failed) break;
    ASSERT_LT(n, 1000);
    remove_unnamed_files(world(), folder.path(), now);
    if (world().is_root()) {
      EXPECT_EQ(std::filesystem::exists(folder.path() / deleted_file(1)), now != old);
      EXPECT_FALSE(std::filesystem::exists(folder.path() / "manifest.json.tmp"));
      testing::write_text(folder.path() / kManifestFile, seal_json(to_json(old)));
    }
    world().barrier();
  }
}

}  // namespace
}  // namespace tutti
