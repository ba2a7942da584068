// An index job that is killed behind its k-means goes on where it was.
#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "jobs/assigned_rows.h"
#include "runtime/data/paths.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;

void assign(AssignedRows& rows, Range part) {
  for (std::int64_t row = part.begin; row < part.end; ++row)
    rows.set(row, row % 7 == 0 ? AssignedRows::kNone : std::int32_t(row % 100));
  rows.add(part);
}

TEST(AssignedRows, KeepsThemForStartsThatHaveOtherRows) {
  const testing::ScratchFolder folder("assigned_rows");
  {
    AssignedRows first(folder.path() / "building", "key", {0, 50}),
        second(folder.path() / "building", "key", {50, 100});
    EXPECT_EQ(first.found(), 0);
    assign(first, {0, 20});
    assign(second, {60, 80});
    assign(second, {90, 95});
    first.flush();
    second.flush();
  }
  const AssignedRows all(folder.path() / "building", "key", {10, 100});
  EXPECT_EQ(all.found(), 35);
  EXPECT_EQ(all.unknown({15, 30}),
            (std::vector<std::int64_t>{20, 21, 22, 23, 24, 25, 26, 27, 28, 29}));
  EXPECT_EQ(all.list_of(61), 61);
  EXPECT_EQ(all.list_of(63), AssignedRows::kNone);
  EXPECT_EQ(AssignedRows(folder.path() / "building", "other key", {0, 100}).found(), 0);
}

TEST(AssignedRows, BelievesNothingThatIsDamaged) {
  const testing::ScratchFolder folder("assigned_rows");
  const Range rows{0, 1000};
  AssignedRows first(folder.path(), "key", rows);
  assign(first, rows);
  first.flush();
  const std::filesystem::path file = folder.path() / range_file(kAssignedFiles, rows);
  const std::string bytes = read_text(file);
  EXPECT_EQ(AssignedRows(folder.path(), "key", rows).found(), 1000);
  for (const std::string& broken :
       {std::string(), bytes.substr(0, 20), bytes.substr(0, bytes.size() - 4), bytes + "more"}) {
    testing::write_text(file, broken);
    EXPECT_EQ(AssignedRows(folder.path(), "key", rows).found(), 0);
  }
  std::string flipped = bytes;
  flipped[flipped.size() / 2] ^= 1;
  testing::write_text(file, flipped);
  EXPECT_EQ(AssignedRows(folder.path(), "key", rows).found(), 0);
  // Another's rows under this name.
  std::filesystem::remove(file);
  testing::write_text(folder.path() / range_file(kAssignedFiles, {0, 500}), bytes);
  EXPECT_EQ(AssignedRows(folder.path(), "key", rows).found(), 0);
}

class IndexResume : public ::testing::Test {
 protected:
  static constexpr std::int64_t kCount = 60000, kDim = 32, kShards = 40;

  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("index_resume_test");
    testing::write_vectors<float>(folder() / "vectors", testing::clustered_vectors(kCount, kDim, 1),
                                  kDim);
    undisturbed_ = result_of(run(2, "undisturbed"), "undisturbed");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  // Little memory makes many rounds of few shards.
  static std::string arguments(const std::string& run) {
    return "index --run " + (folder() / run).string() +
           " --set vectors=" + (folder() / "vectors").string() +
           " --set threads=1 --set index.nlist=1500" +
           " --set kmeans.sample=3000 --set kmeans.iterations=1 --set memory_limit=1MiB" +
           " --set index.shards=" + std::to_string(kShards);
  }
  static testing::CommandResult run(int ranks, const std::string& name) {
    return run_tutti(ranks, arguments(name));
  }
  static nlohmann::json result_of(const testing::CommandResult& done, const std::string& name) {
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / name / "result.json"), nullptr, false);
  }
  // Files of the run's folder whose names begin so.
  static int files(const std::string& name, const std::string& sub, const std::string& begin,
                   const std::string& end = "") {
    int found = 0;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / name / sub, ignored)) {
      const std::string file = entry.path().filename().string();
      found += file.starts_with(begin) && file.ends_with(end) && !is_leftover_file(file);
    }
    return found;
  }
  // Kills a start as soon as the moment has come; one that has ended before is followed by one from
  // nothing.
  static void kill_when(int ranks, const std::string& name, const std::function<bool()>& come) {
    for (int attempt = 0; attempt < 10; ++attempt) {
      testing::Process job(testing::tutti_command(ranks, arguments(name)),
                           (folder() / (name + ".log")).string());
      while (!job.ended() && !come()) usleep(500);
      job.kill_all();
      if (!std::filesystem::exists(folder() / name / "manifest.json")) return;
      std::filesystem::remove_all(folder() / name);
    }
    ADD_FAILURE() << "it was always too fast";
  }

  static testing::ScratchFolder* scratch_;
  static nlohmann::json undisturbed_;
};
testing::ScratchFolder* IndexResume::scratch_ = nullptr;
nlohmann::json IndexResume::undisturbed_;

TEST_F(IndexResume, AssignedVectorsAreNotAssignedAgain) {
  EXPECT_EQ(undisturbed_["vectors_assigned_this_start"], kCount);
  EXPECT_FALSE(std::filesystem::exists(folder() / "undisturbed" / kBuildingFolder));
  for (int ranks : {1, 2, 4}) {
    const std::string name = "assign" + std::to_string(ranks);
    kill_when(2, name, [&] { return files(name, kBuildingFolder, "assigned-") > 0; });
    EXPECT_FALSE(std::filesystem::exists(folder() / name / "manifest.json"));
    const auto result = result_of(run(ranks, name), name);
    EXPECT_EQ(result["index_digest"], undisturbed_["index_digest"]) << ranks << " ranks";
    EXPECT_LT(result["vectors_assigned_this_start"], kCount);
    const std::string log = read_text(folder() / name / "log.txt");
    EXPECT_NE(log.find("vectors have a list already"), std::string::npos) << log;
    EXPECT_NE(log.find("the centroids are trained already"), std::string::npos) << log;
    EXPECT_FALSE(std::filesystem::exists(folder() / name / kBuildingFolder));
  }
}

TEST_F(IndexResume, WrittenShardsAreNotWrittenAgain) {
  for (int ranks : {1, 2, 4}) {
    const std::string name = "write" + std::to_string(ranks);
    const auto written = [&] { return files(name, "", "shard-", ".json"); };
    kill_when(ranks == 4 ? 1 : 3, name, [&] { return written() >= 6; });
    const int kept = written();
    EXPECT_FALSE(std::filesystem::exists(folder() / name / "manifest.json"));
    const auto result = result_of(run(ranks, name), name);
    EXPECT_EQ(result["index_digest"], undisturbed_["index_digest"]) << ranks << " ranks";
    EXPECT_EQ(result["vectors_assigned_this_start"], 0);
    const std::string log = read_text(folder() / name / "log.txt");
    EXPECT_NE(log.find(std::to_string(kept) + " of 40 shards are finished already"),
              std::string::npos)
        << kept << "\n"
        << log;
    EXPECT_EQ(files(name, "", "shard-", ".json"), 0);
  }
}

TEST_F(IndexResume, AStopKeepsWhatIsDone) {
  std::string name = "stopped";
  testing::Process job(testing::tutti_command(2, arguments(name)), (folder() / "log").string());
  while (!job.ended() && files(name, kBuildingFolder, "assigned-") == 0) usleep(500);
  job.signal_ranks(SIGUSR2);
  ASSERT_EQ(job.wait(), 75) << read_text(folder() / "log");
  const auto result = result_of(run(3, name), name);
  EXPECT_EQ(result["index_digest"], undisturbed_["index_digest"]);
  EXPECT_LT(result["vectors_assigned_this_start"], kCount);
}

}  // namespace
}  // namespace tutti
