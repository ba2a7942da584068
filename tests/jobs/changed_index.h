// An index that changes, and what a search should find in it.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/jobs/described_vectors.h"
#include "tests/jobs/found_neighbors.h"

namespace tutti::testing {

// The base has rows [0, kBase) of descriptions, and so many vectors; "later" other ones, of rows
// from Description::kLaterRow on; "again" vectors of rows that the base has, from kFirstAgain on.
// Names begin with "s_" where the vectors are named by strings, with "n_" where by integers, with
// "p_" where they have no metadata.
class ChangedIndex : public ::testing::Test {
 protected:
  static constexpr std::int64_t kBase = 1500, kLater = 400, kAgain = 200, kFirstAgain = 1400,
                                kDim = 24, kQueries = 30, kLists = 20;

  static void make(const std::string& name) {
    scratch_ = new ScratchFolder(name);
    write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 9), kDim);
    for (const std::string kind : {"s_", "n_"}) {
      const std::string id = kind == "s_" ? "doc:string" : "number:integer";
      shard_described_vectors(folder(), kind + "base", base(), kDim, id);
      shard_described_vectors(folder(), kind + "later", later(), kDim, id, Description::kLaterRow);
      shard_described_vectors(folder(), kind + "again", again(), kDim, id, kFirstAgain);
      build(kind + "index", kind + "base");
    }
    write_vectors<float>(folder() / "p_base", base(), kDim);
    write_vectors<float>(folder() / "p_later", later(), kDim);
    build("p_index", "p_base");
  }
  static void remove() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::vector<float> base() { return clustered_vectors(kBase, kDim, 1); }
  static std::vector<float> later() { return clustered_vectors(kLater, kDim, 2); }
  static std::vector<float> again() { return clustered_vectors(kAgain, kDim, 3); }
  static std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  static void build(const std::string& run, const std::string& vectors,
                    const std::string& more = "") {
    expect_done(2, "index --run " + at(run) + " --set vectors=" + at(vectors) +
                       " --set index.shards=4 --set kmeans.iterations=4 --set index.nlist=" +
                       std::to_string(kLists) + " " + more);
  }
  static std::string at(const std::string& name) { return (folder() / name).string(); }
  // A copy of an index, to be changed.
  static void copy(const std::string& index, const std::string& to) {
    std::filesystem::remove_all(folder() / to);
    std::filesystem::copy(folder() / index, folder() / to,
                          std::filesystem::copy_options::recursive);
  }
  static void expect_done(int ranks, const std::string& arguments) {
    const auto done = run_tutti(ranks, arguments + " --set threads=1");
    ASSERT_EQ(done.exit_code, 0) << arguments << "\n" << done.output;
  }
  static void expect_refused(int code, const std::string& arguments, const std::string& text) {
    const auto done = run_tutti(2, arguments);
    EXPECT_EQ(done.exit_code, code) << arguments << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << arguments << "\n" << done.output;
  }
  static std::string update(const std::string& index, const std::string& run,
                            const std::string& more) {
    return "update --run " + at(run) + " --set index=" + at(index) + " " + more;
  }
  static std::string adding(const std::string& vectors) { return "--set vectors=" + at(vectors); }
  // Makes a change in a run of its own, and returns result.json.
  static nlohmann::json change(int ranks, const std::string& index, const std::string& more) {
    std::filesystem::remove_all(folder() / "change");
    expect_done(ranks, update(index, "change", more));
    return result_of("change");
  }
  static nlohmann::json compact(int ranks, const std::string& index, const std::string& run) {
    expect_done(ranks, "compact --run " + at(run) + " --set index=" + at(index));
    return result_of(run);
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static std::string digest_of(const std::string& index) {
    return nlohmann::json::parse(read_text(folder() / index / "manifest.json"))["digest"];
  }

  static Found search(const std::string& index, const std::string& more, int ranks = 2,
                      const std::string& run = "found") {
    expect_done(ranks, "search --run " + at(run) + " --set index=" + at(index) +
                           " --set query.file=" + at("queries.fvecs") + " " + more);
    return read_neighbors(folder() / run);
  }
  static std::string file_of_neighbors(const std::string& run = "found") {
    return read_text(folder() / run / "neighbors.h5") +
           read_text(folder() / run / "external_ids.jsonl");
  }
  // Searches exactly, and by looking into all lists: what passes among `vectors`, whose ids are
  // their rows, is found.
  static void expect_found(const std::string& index, const std::vector<float>& vectors,
                           const std::function<bool(std::int64_t)>& passes,
                           const std::string& more = "", std::int64_t step = 1) {
    const Found truth = brute_force(vectors, clustered_vectors(kQueries, kDim, 9), kDim, Metric::l2,
                                    10, step, passes);
    for (const std::string how : {"--set search.mode=exact ", "--set search.nprobe=20 "}) {
      const Found found = search(index, how + more);
      EXPECT_EQ(found.ids, truth.ids) << how << more;
      EXPECT_EQ(found.distances, truth.distances) << how << more;
    }
  }

  static inline ScratchFolder* scratch_ = nullptr;
};

}  // namespace tutti::testing
