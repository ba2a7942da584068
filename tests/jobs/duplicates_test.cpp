// The duplicates job as a user starts it: the same pairs and groups as by brute force, on any
// number of ranks, killed or not.
#include <algorithm>
#include <map>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include "jobs/duplicate_groups.h"
#include "tests/jobs/described_vectors.h"
#include "tests/jobs/found_ranges.h"
#include "tests/support/process.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::Description;
using testing::read_column;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 2000, kDim = 20;

TEST(DuplicateGroups, ByHand) {
  GroupFinder finder;
  EXPECT_TRUE(finder.groups().ids.empty());
  for (const auto& [a, b] : {std::pair{7, 90}, {2, 5}, {5, 9}, {3, 90}, {2, 9}}) finder.add(a, b);
  const DuplicateGroups found = finder.groups();
  EXPECT_EQ(found.ids, (std::vector<std::int64_t>{2, 3, 5, 7, 9, 90}));
  EXPECT_EQ(found.groups, (std::vector<std::int64_t>{0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(found.dropped, (std::vector<std::int64_t>{5, 7, 9, 90}));
  EXPECT_EQ(found.count, 2);
  EXPECT_EQ(found.largest, 3);
}

struct FoundDuplicates {
  std::vector<std::int64_t> pairs;  // a, b, a, b, ...
  std::vector<float> distances;
  std::vector<std::int64_t> ids, groups;

  bool operator==(const FoundDuplicates&) const = default;
};

// Some vectors are there two or three times, others with a little noise.
std::vector<float> vectors() {
  std::vector<float> all = clustered_vectors(kCount, kDim, 1);
  for (std::int64_t i = 0; i < 300; ++i) {
    std::copy_n(all.begin() + i * kDim, kDim, all.begin() + (kCount - 1 - i) * kDim);
    if (i % 3 == 0) std::copy_n(all.begin() + i * kDim, kDim, all.begin() + (600 + i) * kDim);
    if (i % 5 == 0) all[std::size_t((kCount - 1 - i) * kDim)] += 0.25f;
  }
  return all;
}

// The definition: every pair, and labels that are made the same, pair by pair.
FoundDuplicates by_force(Metric metric, double radius) {
  std::vector<float> all = vectors();
  if (metric == Metric::cosine) normalise({all.data(), kCount, kDim});
  FoundDuplicates found;
  std::map<std::int64_t, std::int64_t> labels;
  for (std::int64_t a = 0; a < kCount; ++a)
    for (std::int64_t b = a + 1; b < kCount; ++b) {
      const float d =
          published_distance(reference::distance(&all[std::size_t(a * kDim)],
                                                 &all[std::size_t(b * kDim)], kDim, metric),
                             metric);
      if (metric == Metric::inner_product ? -d < float(radius) : d > float(radius)) continue;
      found.pairs.insert(found.pairs.end(), {a, b});
      found.distances.push_back(d);
      labels.emplace(a, a);
      labels.emplace(b, b);
      const std::int64_t from = std::max(labels[a], labels[b]), to = std::min(labels[a], labels[b]);
      for (auto& [id, label] : labels)
        if (label == from) label = to;
    }
  std::map<std::int64_t, std::int64_t> numbers;
  for (const auto& [id, label] : labels) {
    found.ids.push_back(id);
    found.groups.push_back(numbers.emplace(label, std::ssize(numbers)).first->second);
  }
  return found;
}

class Duplicates : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("duplicates_test");
    testing::shard_described_vectors(folder(), "named", vectors(), kDim);
    testing::shard_described_vectors(folder(), "numbered", vectors(), kDim, "number:integer");
    testing::write_fvecs(folder() / "plain.fvecs", vectors(), kDim);
    const auto sharded =
        run_tutti(1, "shard --set shards=2 --run " + (folder() / "plain").string() +
                         " --set 'input.paths=[\"" + (folder() / "plain.fvecs").string() + "\"]'");
    ASSERT_EQ(sharded.exit_code, 0) << sharded.output;
    for (const char* metric : {"l2", "cosine", "inner_product"}) build(metric, "plain", metric);
    build("named_index", "named", "l2");
    build("numbered_index", "numbered", "l2");
    build("bf16", "plain", "l2", " --set index.storage=bf16");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static void build(const std::string& run, const std::string& vectors, const std::string& metric,
                    const std::string& more = "") {
    const auto done = run_tutti(2, "index --run " + (folder() / run).string() +
                                       " --set vectors=" + (folder() / vectors).string() +
                                       " --set index.shards=4 --set kmeans.iterations=4" +
                                       " --set index.metric=" + metric + more);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static std::string arguments(const std::string& run, const std::string& index,
                               const std::string& radius, const std::string& more = "") {
    return "duplicates --run " + (folder() / run).string() +
           " --set index=" + (folder() / index).string() + " --set duplicates.radius=" + radius +
           " " + more;
  }
  // Returns result.json.
  static nlohmann::json find(int ranks, const std::string& run, const std::string& index,
                             double radius, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(run, index, fmt::format("{}", radius), more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static FoundDuplicates read(const std::string& run) {
    const auto file = folder() / run / "duplicates.h5";
    return {read_column<std::int64_t>(file, "pairs"), read_column<float>(file, "distances"),
            read_column<std::int64_t>(file, "ids"), read_column<std::int64_t>(file, "groups")};
  }
  static std::vector<std::string> dropped(const std::string& run) {
    std::istringstream in(read_text(folder() / run / "drop.txt"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  // All ids but each group's smallest.
  static std::vector<std::int64_t> dropped_ids(const FoundDuplicates& found) {
    std::vector<std::int64_t> ids;
    std::map<std::int64_t, int> seen;
    for (std::size_t i = 0; i < found.ids.size(); ++i)
      if (seen[found.groups[i]]++ > 0) ids.push_back(found.ids[i]);
    return ids;
  }
  static bool has_batches(const std::string& run) {
    if (!std::filesystem::exists(folder() / run)) return false;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / run))
      if (entry.path().extension() == ".bin") return true;
    return false;
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Duplicates::scratch_ = nullptr;

TEST_F(Duplicates, ExactIsABruteForce) {
  struct Case {
    Metric metric;
    double radius;
  };
  for (const auto& [metric, radius] :
       {Case{Metric::l2, 0}, Case{Metric::l2, 0.3}, Case{Metric::l2, 4.2},
        Case{Metric::cosine, 0.05}, Case{Metric::inner_product, 300}}) {
    const auto result = find(2, "exact", std::string(name_of(metric)), radius);
    const FoundDuplicates expected = by_force(metric, radius);
    EXPECT_GT(expected.distances.size(), 50u) << name_of(metric);
    EXPECT_EQ(read("exact"), expected) << name_of(metric) << " " << radius;
    const auto lines = dropped("exact");
    const auto ids = dropped_ids(expected);
    ASSERT_EQ(lines.size(), ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(lines[i], std::to_string(ids[i]));
    EXPECT_EQ(result["pairs"], expected.distances.size());
    EXPECT_EQ(result["vectors_in_pairs"], expected.ids.size());
    EXPECT_EQ(result["groups"], 1 + std::ranges::max(expected.groups));
    EXPECT_EQ(result["vectors_kept"], kCount - std::ssize(ids));
  }
  const auto seen = run_tutti(1, "inspect " + (folder() / "exact").string());
  EXPECT_EQ(seen.exit_code, 0) << seen.output;
}

TEST_F(Duplicates, TheSameBytesOnAnyNumberOfRanksInAnyBatchesAndMemory) {
  for (const char* mode : {"exact", "probe"}) {
    const std::string more = std::string("--set duplicates.nprobe=3 --set duplicates.mode=") + mode;
    const auto one = find(1, "one", "l2", 4.2, more);
    for (const int ranks : {2, 4}) {
      EXPECT_EQ(find(ranks, "several", "l2", 4.2, more)["duplicates_digest"],
                one["duplicates_digest"]);
      EXPECT_EQ(read_text(folder() / "several" / "duplicates.h5"),
                read_text(folder() / "one" / "duplicates.h5"));
    }
    const std::string tight = more + " --set duplicates.batch=130 --set memory_limit=1MiB";
    EXPECT_EQ(find(2, "tight", "l2", 4.2, tight)["duplicates_digest"], one["duplicates_digest"]);
    EXPECT_FALSE(has_batches("tight"));
    EXPECT_FALSE(std::filesystem::exists(folder() / "tight" / "batches.key"));
  }
}

TEST_F(Duplicates, ProbingFindsWhatIsInTheNearestLists) {
  const std::string probe = "--set duplicates.mode=probe --set duplicates.nprobe=";
  const auto exact = find(2, "exact", "l2", 4.2);
  const auto few = find(2, "few", "l2", 4.2, probe + "1");
  EXPECT_LT(few["pairs"], exact["pairs"]);
  EXPECT_GT(few["pairs"], 300);
  EXPECT_EQ(few["nprobe"], 1);
  find(2, "all", "l2", 4.2, probe + "1000");
  EXPECT_EQ(read("all"), read("exact"));
  // What is the same is in the same list, which may look like the second.
  find(2, "same", "l2", 0, probe + "2");
  EXPECT_EQ(read("same"), by_force(Metric::l2, 0));
}

TEST_F(Duplicates, ALimitLeavesPairsOutAndGroupsOfTheSameWhole) {
  const FoundDuplicates all = by_force(Metric::l2, 0);
  const auto one = find(1, "limited", "l2", 0, "--set duplicates.limit=1");
  const FoundDuplicates limited = read("limited");
  EXPECT_EQ(limited.ids, all.ids);
  EXPECT_EQ(limited.groups, all.groups);
  EXPECT_LT(limited.distances.size(), all.distances.size());
  EXPECT_EQ(one["limit"], 1);
  for (const int ranks : {2, 4})
    EXPECT_EQ(find(ranks, "several", "l2", 0,
                   "--set duplicates.limit=1 --set duplicates.batch=130")["duplicates_digest"],
              one["duplicates_digest"]);
  find(2, "generous", "l2", 4.2, "--set duplicates.limit=1000");
  EXPECT_EQ(read("generous"), by_force(Metric::l2, 4.2));
}

TEST_F(Duplicates, ARadiusOfEverythingMakesOneGroup) {
  testing::write_vectors<float>(folder() / "tiny", clustered_vectors(30, 5, 1), 5);
  build("tiny_index", "tiny", "l2");
  const auto result = find(3, "everything", "tiny_index", 1e30, "--set duplicates.batch=7");
  EXPECT_EQ(result["pairs"], 30 * 29 / 2);
  EXPECT_EQ(result["groups"], 1);
  EXPECT_EQ(result["largest_group"], 30);
  EXPECT_EQ(result["vectors_kept"], 1);
  const auto none = find(2, "nothing", "tiny_index", 0);
  EXPECT_EQ(none["pairs"], 0);
  EXPECT_EQ(none["largest_group"], 0);
  EXPECT_EQ(none["vectors_kept"], 30);
  EXPECT_TRUE(dropped("nothing").empty());
}

TEST_F(Duplicates, StoredAsBrainFloatsWhatIsTheSameIsStillTheSame) {
  const auto found = find(2, "half", "bf16", 0);
  EXPECT_GE(found["pairs"], by_force(Metric::l2, 0).distances.size());
}

TEST_F(Duplicates, WhatIsDroppedIsNamedAsUsersNameIt) {
  const auto ids = dropped_ids(by_force(Metric::l2, 0.3));
  for (const int ranks : {1, 2}) {
    find(ranks, "named_run", "named_index", 0.3);
    auto lines = dropped("named_run");
    ASSERT_EQ(lines.size(), ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(lines[i], Description(ids[i]).doc());
    find(ranks, "named_run", "numbered_index", 0.3);
    lines = dropped("named_run");
    for (std::size_t i = 0; i < ids.size(); ++i)
      EXPECT_EQ(lines[i], std::to_string(Description(ids[i]).number()));
  }
}

TEST_F(Duplicates, KilledOrStoppedItGoesOnBehindItsLastBatch) {
  const std::string more = "--set duplicates.batch=10 --set memory_limit=1MiB";
  const auto whole = find(1, "whole", "l2", 4.2, more);
  for (const int signal_number : {SIGKILL, SIGUSR2}) {
    const std::string run = "signal" + std::to_string(signal_number);
    testing::Process job(testing::tutti_command(2, arguments(run, "l2", "4.2", more)),
                         folder() / (run + ".log"));
    while (!job.ended() && !has_batches(run)) usleep(1000);
    if (signal_number == SIGKILL)
      job.kill_all();
    else
      job.signal_ranks(signal_number);
    const int code = job.wait();
    if (signal_number == SIGUSR2) {
      EXPECT_EQ(code, 75) << read_text(folder() / (run + ".log"));
    }
    ASSERT_TRUE(has_batches(run));
    EXPECT_FALSE(std::filesystem::exists(folder() / run / "manifest.json"));
    const auto done = run_tutti(3, arguments(run, "l2", "4.2", more));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(done.output.find("\n10 of 2000 vectors"), std::string::npos) << done.output;
    const auto result = nlohmann::json::parse(read_text(folder() / run / "result.json"));
    EXPECT_EQ(result["duplicates_digest"], whole["duplicates_digest"]);
    EXPECT_FALSE(has_batches(run));
  }
}

TEST_F(Duplicates, BatchesOfAnotherRadiusOrThatAreDamagedAreMadeAgain) {
  const std::string more = "--set duplicates.batch=10 --set memory_limit=1MiB";
  const auto stop_early = [&](const std::string& run) {
    testing::Process job(testing::tutti_command(1, arguments(run, "l2", "4.2", more)),
                         folder() / (run + ".log"));
    while (!job.ended() && !has_batches(run)) usleep(1000);
    job.kill_all();
    job.wait();
    ASSERT_TRUE(has_batches(run));
  };
  stop_early("changed");
  find(1, "changed", "l2", 0.3, more);
  EXPECT_EQ(read("changed"), by_force(Metric::l2, 0.3));
  stop_early("damaged");
  const auto batch = folder() / "damaged" / "pairs-00000000.bin";
  std::string bytes = read_text(batch);
  bytes[bytes.size() / 2] ^= 1;
  testing::write_text(batch, bytes);
  const auto failed = run_tutti(2, arguments("damaged", "l2", "4.2", more));
  EXPECT_EQ(failed.exit_code, 74) << failed.output;
  EXPECT_NE(failed.output.find("pairs-00000000.bin"), std::string::npos) << failed.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "damaged" / "manifest.json"));
  find(2, "damaged", "l2", 4.2, more);
  EXPECT_EQ(read("damaged"), by_force(Metric::l2, 4.2));
}

TEST_F(Duplicates, AFullDiskLeavesNothingHalfWrittenAndItGoesOn) {
  const auto whole = find(1, "whole", "l2", 0.3);
  for (const char* fault : {"posix_fallocate:1:ENOSPC:duplicates.h5", "any:1:ENOSPC:drop.txt",
                            "any:1:ENOSPC:pairs-00000000.bin"}) {
    const auto full = testing::run_command(
        std::string("TUTTI_FAULT=") + fault + " LD_PRELOAD=" TUTTI_FAULT_IO " " +
        testing::tutti_command(2, arguments("full", "l2", "0.3")));
    EXPECT_EQ(full.exit_code, 74) << full.output;
    EXPECT_NE(full.output.find("No space left"), std::string::npos) << full.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "full" / "manifest.json"));
    EXPECT_EQ(find(2, "full", "l2", 0.3)["duplicates_digest"], whole["duplicates_digest"]) << fault;
  }
}

TEST_F(Duplicates, MistakesEndWithTheirCode) {
  const auto expect_error = [](const std::string& index, const std::string& radius, int code,
                               const std::string& text, const std::string& more = "") {
    const auto done = run_tutti(2, arguments("mistake", index, radius, more));
    EXPECT_EQ(done.exit_code, code) << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  };
  expect_error("l2", "-1", 64, "duplicates.radius");
  expect_error("l2", "nan", 64, "duplicates.radius");
  expect_error("l2", "none", 64, "duplicates.radius");
  expect_error("plain", "1", 65, "plain");
  expect_error("missing", "1", 64, "missing");
  expect_error("l2", "1", 64, "duplicates.batch", "--set duplicates.batch=0");
  expect_error("l2", "1", 64, "duplicates.limit", "--set duplicates.limit=-1");
  expect_error("l2", "1", 64, "duplicates.nprobe", "--set duplicates.nprobe=0");
}

}  // namespace
}  // namespace tutti
