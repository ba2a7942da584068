// Vectors, neighbours and indexes to other tools' files: what comes out is what went in.
#include <algorithm>
#include <cstring>
#include <numeric>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/faiss_file.h"
#include "runtime/data/ground_truth.h"
#include "runtime/data/vector_file.h"
#include "runtime/io/hdf5_import.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::clustered_vectors;
using testing::read_text;
using testing::run_tutti;
using testing::write_text;

constexpr std::int64_t kCount = 300, kDim = 12, kQueries = 20, kNlist = 9;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// big-ann's form of rows of kDim.
template <class T>
std::string block_of(const std::vector<T>& values) {
  const auto rows = std::uint32_t(std::int64_t(values.size()) / kDim);
  return bytes_of<std::uint32_t>({rows, std::uint32_t(kDim)}) + bytes_of(values);
}

class ExportVectors : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("export_vectors_test");
    const std::vector<float> values = clustered_vectors(kCount, kDim, 1);
    testing::write_fvecs(folder() / "f32.fvecs", values, kDim);
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint16_t> halves;
    for (const float value : values) {
      bytes.push_back(std::uint8_t(std::clamp(128 + 10 * value, 0.f, 255.f)));
      halves.push_back(f16_from_float(value));
    }
    write_text(folder() / "u8.u8bin", block_of(bytes));
    write_text(folder() / "i8.i8bin", block_of(bytes));  // the same bits, half of them negative
    write_text(folder() / "f16.f16bin", block_of(halves));
    for (const char* file : {"f32.fvecs", "u8.u8bin", "i8.i8bin", "f16.f16bin"})
      shard(std::filesystem::path(file).stem(), folder() / file);
    for (const char* metric : {"l2", "cosine"}) {
      run(2, "index", metric,
          "--set index.nlist=9 --set kmeans.iterations=3 --set vectors=" + path("f32") +
              " --set index.shards=3 --set index.metric=" + metric);
      run(2, "search", std::string(metric) + "_found",
          "--set search.k=5 --set search.nprobe=3 --set index=" + path(metric) +
              " --set query.file=" + path("queries.fvecs"));
    }
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string path(const std::string& name) { return (folder() / name).string(); }
  static nlohmann::json run(int ranks, const std::string& job, const std::string& name,
                            const std::string& more) {
    const auto done = run_tutti(ranks, job + " --run " + path(name) + " " + more);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / name / "result.json"), nullptr, false);
  }
  static void shard(const std::string& name, const std::filesystem::path& file) {
    run(2, "shard", name, "--set shards=3 --set 'input.paths=[\"" + file.string() + "\"]'");
  }
  // Exports into a new folder of that name, which it returns.
  static std::filesystem::path exported(int ranks, const std::string& from, const std::string& name,
                                        const std::string& more = "") {
    run(ranks, "export", name, "--set export.from=" + path(from) + " " + more);
    return folder() / name;
  }
  static std::string format(const std::string& name) { return "--set export.format=" + name; }
  static std::string digest_of(const std::string& name) {
    return nlohmann::json::parse(read_text(folder() / name / "manifest.json"))["digest"];
  }
  static void expect_refused(const std::string& more, int code, const std::string& said) {
    std::filesystem::remove_all(folder() / "refused");
    const auto done = run_tutti(2, "export --run " + path("refused") + " " + more);
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(said), std::string::npos) << more << "\n" << done.output;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / "refused")) {
      const std::string name = entry.path().filename();
      for (const char* start : {"vectors", "index", "neighbors", "distances", "groundtruth"})
        EXPECT_FALSE(name.starts_with(start)) << more << ": " << name;
    }
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* ExportVectors::scratch_ = nullptr;

TEST_F(ExportVectors, EveryFormatComesBackTheSame) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> formats = {
      {"f32", {"fvecs", "fbin", "npy", "hdf5"}},
      {"u8", {"bvecs", "u8bin", "npy", "hdf5"}},
      {"i8", {"i8bin", "npy"}},
      {"f16", {"f16bin", "npy"}}};
  int ranks = 1;
  for (const auto& [type, all] : formats)
    for (const std::string& name : all) {
      const std::string out = type + "_" + name;
      const auto file = exported(ranks, type, out, format(name)) / ("vectors." + name);
      shard("back_" + out, file);
      EXPECT_EQ(digest_of("back_" + out), digest_of(type)) << out;
      ranks = 3 - ranks;
    }
  EXPECT_TRUE(read_text(folder() / "f32_fvecs" / "vectors.fvecs") ==
              read_text(folder() / "f32.fvecs"));
  EXPECT_TRUE(read_text(folder() / "i8_i8bin" / "vectors.i8bin") ==
              read_text(folder() / "i8.i8bin"));
}

TEST_F(ExportVectors, AutoKeepsTheTypeAndOthersTakeWhatTheyHold) {
  EXPECT_TRUE(read_text(exported(2, "f16", "auto") / "vectors.f16bin") ==
              read_text(folder() / "f16.f16bin"));
  const VectorFile wide(exported(1, "u8", "wide", format("fvecs")) / "vectors.fvecs");
  std::vector<float> values(std::size_t(kCount * kDim));
  wide.read_rows(0, kCount, std::as_writable_bytes(std::span(values)));
  const std::string bytes = read_text(folder() / "u8.u8bin").substr(8);
  for (std::size_t i = 0; i < values.size(); ++i)
    ASSERT_EQ(values[i], float(std::uint8_t(bytes[i])));
  expect_refused(format("u8bin") + " --set export.from=" + path("f32"), 65,
                 "which u8 does not hold");
  expect_refused(format("i8bin") + " --set export.from=" + path("u8"), 65,
                 "which i8 does not hold");
}

TEST_F(ExportVectors, AnnBenchmarksFilesHaveQueriesAndNeighbors) {
  for (int ranks : {1, 2}) {
    const std::string name = "ann" + std::to_string(ranks);
    const Hdf5Import file(exported(ranks, "f32", name,
                                   "--set export.queries=" + path("queries.fvecs") +
                                       " --set export.neighbors=" + path("cosine_found")) /
                          "vectors.hdf5");
    EXPECT_EQ(file.attribute("distance"), "angular");
    EXPECT_EQ(file.attribute("dimension"), "12");
    const auto* train = file.find("train");
    const auto* test = file.find("test");
    ASSERT_TRUE(train && test && file.find("distances"));
    EXPECT_EQ(train->shape, (std::vector<std::int64_t>{kCount, kDim}));
    std::vector<float> queries(std::size_t(kQueries * kDim));
    file.read_rows(*test, 0, kQueries, std::span(queries));
    EXPECT_EQ(queries, clustered_vectors(kQueries, kDim, 2));
    std::vector<std::int64_t> ids(kQueries * 5), found(ids.size());
    file.read_rows(*file.find("neighbors"), 0, kQueries, std::span(ids));
    GroundTruth(folder() / "cosine_found" / "neighbors.h5").read_rows(0, kQueries, kCount, found);
    EXPECT_EQ(ids, found);
  }
}

TEST_F(ExportVectors, NeighborsAsRowsAndAsGroundTruth) {
  std::vector<std::int64_t> found(kQueries * 5), ids(found.size());
  GroundTruth(folder() / "l2_found" / "neighbors.h5").read_rows(0, kQueries, kCount, found);
  const auto rows = exported(2, "l2_found", "rows");
  GroundTruth(rows / "neighbors.ivecs").read_rows(0, kQueries, kCount, ids);
  EXPECT_EQ(ids, found);
  const std::string block =
      read_text(exported(1, "l2_found", "block", format("bigann")) / "groundtruth.bin");
  write_text(folder() / "copy.bin", block);
  GroundTruth(folder() / "copy.bin").read_rows(0, kQueries, kCount, ids);
  EXPECT_EQ(ids, found);
  std::vector<float> distances(found.size());
  VectorFile(rows / "distances.fvecs")
      .read_rows(0, kQueries, std::as_writable_bytes(std::span(distances)));
  EXPECT_EQ(block.substr(8 + 4 * found.size()), bytes_of(distances));
  EXPECT_TRUE(std::ranges::is_sorted(std::span(distances).first(5)));
}

// The lists of an exported index: all vectors, each once, beside its id.
TEST_F(ExportVectors, AnIndexIsInvertedListsOfFaiss) {
  const std::string one = read_text(exported(1, "l2", "faiss1") / "index.faiss");
  EXPECT_TRUE(one == read_text(exported(2, "l2", "faiss2") / "index.faiss"));
  const std::vector<float> nothing(std::size_t(kNlist * kDim));
  std::size_t at = faiss_lists_header({kDim, kCount, false}, nothing, 9,
                                      std::vector<std::int64_t>(std::size_t(kNlist)))
                       .size();
  std::vector<std::int64_t> sizes(kNlist), ids(kCount);
  std::memcpy(sizes.data(), one.data() + at - kNlist * 8, kNlist * 8);
  EXPECT_EQ(std::reduce(sizes.begin(), sizes.end()), kCount);
  const std::vector<float> vectors = clustered_vectors(kCount, kDim, 1);
  std::vector<int> seen(kCount);
  for (const std::int64_t size : sizes) {
    for (std::int64_t i = 0; i < size; ++i) {
      std::int64_t id = -1;
      std::memcpy(&id, one.data() + at + std::size_t(size * kDim * 4 + i * 8), 8);
      ASSERT_TRUE(id >= 0 && id < kCount);
      ++seen[std::size_t(id)];
      EXPECT_EQ(std::memcmp(one.data() + at + std::size_t(i * kDim * 4), vectors.data() + id * kDim,
                            kDim * 4),
                0);
    }
    at += std::size_t(size * (kDim * 4 + 8));
  }
  EXPECT_EQ(at, one.size());
  EXPECT_EQ(seen, std::vector<int>(kCount, 1));
  EXPECT_EQ(one.substr(0, 4), "IwFl");
  const std::string flat = read_text(exported(2, "f32", "flat", format("faiss")) / "index.faiss");
  EXPECT_EQ(flat, faiss_flat_header({kDim, kCount, false}) + bytes_of(vectors));
}

// The lists of an index of codes: each code's codewords are a vector that is near the one beside
// its id, less its centroid.
TEST_F(ExportVectors, AnIndexIsCodesOfFaiss) {
  const std::string codes = "--set export.code_parts=6 ";
  const std::string one = read_text(exported(1, "l2", "codes1", codes) / "index.faiss");
  EXPECT_TRUE(one ==
              read_text(exported(2, "l2", "codes2", codes + format("faiss")) / "index.faiss"));
  const std::vector<float> none(std::size_t(kNlist * kDim)), no_words(256 * kDim);
  const std::vector<std::int64_t> no_sizes(std::size_t(kNlist), 0);
  const FaissIndex index{kDim, kCount, false};
  std::size_t at = faiss_codes_header(index, none, 9, {6, no_words}, no_sizes).size();
  // In front of the sizes: letters, lists, bytes of a code, letters, lists.
  const std::size_t words_at = at - kNlist * 8 - 32 - 256 * kDim * 4;
  std::vector<float> words(256 * kDim), centroids(std::size_t(kNlist * kDim));
  std::memcpy(words.data(), one.data() + words_at, words.size() * 4);
  std::memcpy(centroids.data(), one.data() + 98, centroids.size() * 4);  // behind two headers
  std::vector<std::int64_t> sizes(kNlist);
  std::memcpy(sizes.data(), one.data() + at - kNlist * 8, kNlist * 8);
  EXPECT_EQ(one.substr(0, at), faiss_codes_header(index, centroids, 9, {6, words}, sizes));
  EXPECT_EQ(one.size(), at + kCount * (6 + 8));
  const std::vector<float> vectors = clustered_vectors(kCount, kDim, 1);
  double error = 0, whole = 0;
  for (std::size_t list = 0; list < kNlist; at += std::size_t(sizes[list++]) * 14)
    for (std::int64_t i = 0; i < sizes[list]; ++i) {
      std::int64_t id = -1;
      std::memcpy(&id, one.data() + at + std::size_t(sizes[list] * 6 + i * 8), 8);
      ASSERT_TRUE(id >= 0 && id < kCount);
      for (std::size_t j = 0; j < kDim; ++j) {
        const auto code = std::uint8_t(one[at + std::size_t(i) * 6 + j / 2]);
        const float residual = vectors[std::size_t(id) * kDim + j] - centroids[list * kDim + j];
        const float word = words[(j / 2 * 256 + code) * 2 + j % 2];
        error += double(residual - word) * double(residual - word);
        whole += double(residual) * double(residual);
      }
    }
  EXPECT_LT(error, 0.02 * whole);  // 300 vectors have nearly a codeword each
}

TEST_F(ExportVectors, CodesThatCannotBeAreRefused) {
  const std::string from = " --set export.from=", codes = "--set export.code_parts=";
  for (const char* parts : {"5", "-1", "24"})
    expect_refused(codes + parts + from + path("l2"), 64, "export.code_parts");
  expect_refused(codes + "6 " + format("hnswlib") + from + path("l2"), 64, "export.code_parts");
  expect_refused(codes + "6" + from + path("f32"), 64, "export.code_parts");
  expect_refused(codes + "6" + from + path("l2_found"), 64, "export.code_parts");
  testing::write_vectors<float>(folder() / "fewer", clustered_vectors(255, kDim, 1), kDim);
  run(1, "index", "fewer_index", "--set vectors=" + path("fewer"));
  expect_refused(codes + "6" + from + path("fewer_index"), 64, "trained on 256");
}

TEST_F(ExportVectors, AFullDiskLeavesNothing) {
  const auto expect = [](const std::string& fault, const std::string& more) {
    std::filesystem::remove_all(folder() / "full");
    const auto full = testing::run_command(
        "TUTTI_FAULT=" + fault + " LD_PRELOAD=" TUTTI_FAULT_IO " " +
        testing::tutti_command(2, "export --run " + path("full") + " --set export.from=" + more));
    EXPECT_EQ(full.exit_code, 74) << full.output;
    EXPECT_NE(full.output.find("No space left"), std::string::npos) << full.output;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / "full"))
      for (const char* start : {"vectors", "index"})
        EXPECT_FALSE(entry.path().filename().string().starts_with(start)) << entry.path();
  };
  expect("posix_fallocate:1:ENOSPC:vectors.fbin", path("f32"));
  expect("pwrite:1:ENOSPC:vectors.fbin", path("f32"));
  expect("any:1:ENOSPC:vectors.hdf5", path("f32") + " " + format("hdf5"));
  expect("pwrite:1:ENOSPC:index.faiss", path("l2"));
  expect("pwrite:1:ENOSPC:index.faiss", path("l2") + " --set export.code_parts=6");
}

TEST_F(ExportVectors, MistakesEndWithTheirCodeAndSayWhatToDo) {
  const std::string from = " --set export.from=";
  expect_refused("", 64, "export.from");
  expect_refused(from + path("f32") + " --set export.model=" + path("f32"), 64, "two things");
  expect_refused(from + "/nonexistent", 64, "/nonexistent");
  expect_refused(format("ivecs") + from + path("f32"), 64, "vectors are not written as ivecs");
  expect_refused(format("fvecs") + from + path("l2"), 64, "indexes are not written as fvecs");
  expect_refused(format("faiss") + from + path("l2_found"), 64, "ivecs or bigann");
  const std::string queries = " --set export.queries=" + path("queries.fvecs"),
                    found = " --set export.neighbors=" + path("l2_found");
  expect_refused(from + path("f32") + found, 64, "export.queries");
  expect_refused(from + path("l2") + queries, 64, "go with vectors");
  expect_refused(from + path("f32") + queries + " " + format("fbin"), 64, "hdf5");
  testing::write_fvecs(folder() / "narrow.fvecs", clustered_vectors(3, 7, 1), 7);
  testing::write_fvecs(folder() / "few.fvecs", clustered_vectors(3, kDim, 1), kDim);
  expect_refused(from + path("f32") + " --set export.queries=" + path("narrow.fvecs"), 65,
                 "narrow.fvecs");
  expect_refused(from + path("f32") + found + " --set export.queries=" + path("few.fvecs"), 65,
                 "20 queries, there are 3");
  testing::write_vectors<float>(folder() / "gaps", clustered_vectors(4, kDim, 1), kDim);
  expect_refused(from + path("gaps") + queries + found, 65, "not the numbers of their rows");
  std::filesystem::copy(folder() / "f32", folder() / "damaged");
  std::string bytes = read_text(folder() / "damaged" / "shard-00001.h5");
  for (std::size_t i = 2048; i < bytes.size(); i += 64) bytes[i] ^= 1;
  write_text(folder() / "damaged" / "shard-00001.h5", bytes);
  expect_refused(from + path("damaged"), 65, "shard-00001.h5");
  std::filesystem::copy(folder() / "l2_found", folder() / "damaged_found");
  bytes = read_text(folder() / "damaged_found" / "neighbors.h5");
  const auto manifest = nlohmann::json::parse(read_text(folder() / "l2_found" / "manifest.json"));
  bytes[manifest["files"][0]["extents"][1]["offset"].get<std::size_t>()] ^= 1;
  write_text(folder() / "damaged_found" / "neighbors.h5", bytes);
  expect_refused(from + path("damaged_found"), 65, "neighbors.h5");
}

TEST_F(ExportVectors, ADryRunWritesNothing) {
  const auto done =
      run_tutti(2, "export --dry-run --run " + path("dry") + " --set export.from=" + path("l2"));
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "dry"));
}

}  // namespace
}  // namespace tutti
