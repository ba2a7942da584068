// The search job as a user starts it: exact is exact, probing is close, ranks do not show.
#include <algorithm>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "jobs/answers.h"
#include "kernels/vector/distance.h"
#include "kernels/vector/top_k.h"
#include "tests/jobs/found_neighbors.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::brute_force;
using testing::clustered_vectors;
using testing::Found;
using testing::read_neighbors;
using testing::read_text;
using testing::run_tutti;
using testing::write_vectors;

constexpr std::int64_t kCount = 3000, kDim = 20, kQueries = 60;

TEST(Wrapped, LinesAreIndentedAndFitTheWidth) {
  EXPECT_EQ(wrapped("one  two\n\nthree", 10, 2), "  one two\n  three\n");
  EXPECT_EQ(wrapped("unbreakable x", 5, 1), " unbreakable\n x\n");
  EXPECT_EQ(wrapped("\u00e4\u00e4\u00e4 \u00e4", 5, 0), "\u00e4\u00e4\u00e4 \u00e4\n");
  EXPECT_EQ(wrapped(" \n", 10, 2), "");
}

class Search : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("search_test");
    write_vectors<float>(folder() / "vectors", clustered_vectors(kCount, kDim, 1), kDim);
    testing::write_fvecs(folder() / "queries.fvecs", clustered_vectors(kQueries, kDim, 2), kDim);
    for (const char* metric : {"l2", "cosine", "inner_product"}) build(metric, "vectors", metric);
    testing::write_text(folder() / "search.toml",
                        "index = \"" + (folder() / "l2").string() + "\"\n[query]\nfile = \"" +
                            (folder() / "queries.fvecs").string() + "\"\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }

  static void build(const std::string& run, const std::string& vectors, const std::string& metric,
                    const std::string& more = "") {
    const auto done = run_tutti(2, "index --run " + (folder() / run).string() +
                                       " --set vectors=" + (folder() / vectors).string() +
                                       " --set index.shards=4 --set kmeans.iterations=4" +
                                       " --set index.metric=" + metric + " " + more);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "search " + (folder() / "search.toml").string() + " --run " + (folder() / run).string() +
           " " + more;
  }
  // Searches and returns result.json.
  static nlohmann::json search(int ranks, const std::string& run, const std::string& more = "") {
    const auto done = run_tutti(ranks, arguments(run, more));
    EXPECT_EQ(done.exit_code, 0) << done.output;
    return nlohmann::json::parse(read_text(folder() / run / "result.json"), nullptr, false);
  }
  static void expect_error(const std::string& more, int code, const std::string& text) {
    const auto done = run_tutti(2, arguments("mistake", more));
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Search::scratch_ = nullptr;

TEST_F(Search, ExactModeIsABruteForce) {
  for (const Metric metric : {Metric::l2, Metric::inner_product, Metric::cosine}) {
    std::vector<float> vectors = clustered_vectors(kCount, kDim, 1),
                       queries = clustered_vectors(kQueries, kDim, 2);
    if (metric == Metric::cosine) {
      normalise({vectors.data(), kCount, kDim});
      normalise({queries.data(), kQueries, kDim});
    }
    const std::string name(name_of(metric));
    search(2, "exact_" + name,
           "--set search.mode=exact --set search.k=7 --set index=" + (folder() / name).string());
    const Found found = read_neighbors(folder() / ("exact_" + name));
    const Found truth = brute_force(vectors, queries, kDim, metric, 7);
    EXPECT_EQ(found.ids, truth.ids) << name;
    EXPECT_EQ(found.distances, truth.distances) << name;
  }
}

TEST_F(Search, TheSameBytesOnAnyNumberOfRanksAndInAnyBatches) {
  for (const char* mode : {"exact", "probe"}) {
    const std::string more = std::string("--set search.mode=") + mode;
    const auto one = search(1, "one", more);
    const std::string bytes = read_text(folder() / "one" / "neighbors.h5");
    for (int ranks : {2, 3, 6}) {
      EXPECT_EQ(search(ranks, "several", more)["neighbors_digest"], one["neighbors_digest"])
          << ranks << " ranks";
      EXPECT_EQ(read_text(folder() / "several" / "neighbors.h5"), bytes);
    }
    const std::string small = more + " --set search.batch=7 --set memory_limit=1MiB";
    EXPECT_EQ(search(2, "batches", small)["neighbors_digest"], one["neighbors_digest"]);
  }
}

TEST_F(Search, ProbingAllListsIsExactAndProbingAFewIsClose) {
  const auto exact = search(2, "exact", "--set search.mode=exact");
  const auto all =
      search(2, "all", "--set search.mode=both --set search.nprobe=219");  // 4 * sqrt(3000)
  EXPECT_EQ(all["neighbors_digest"], exact["neighbors_digest"]);
  EXPECT_EQ(all["recall_at_k"], 1.0);
  const auto few = search(2, "few", "--set search.mode=both --set search.nprobe=2");
  EXPECT_GT(few["recall_at_k"], 0.3);
  EXPECT_LT(few["recall_at_k"], 1.0);
  EXPECT_GT(few["queries_per_second"], 0);
}

TEST_F(Search, MoreProbesThanListsAreClampedWithANote) {
  const auto done = run_tutti(2, arguments("clamped", "--set search.nprobe=1000"));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_NE(done.output.find("219 lists"), std::string::npos) << done.output;
  EXPECT_EQ(nlohmann::json::parse(read_text(folder() / "clamped" / "result.json"))["nprobe"], 219);
}

TEST_F(Search, MoreNeighboursThanVectorsArePadded) {
  write_vectors<float>(folder() / "three", std::vector<float>{0, 0, 1, 0, 0, 1}, 2,
                       nlohmann::json::object(), 2);
  build("three_index", "three", "l2");
  testing::write_fvecs(folder() / "two.fvecs", std::vector<float>{0.75, 0}, 2);
  search(3, "padded",
         "--set search.k=5 --set search.mode=exact --set index=" +
             (folder() / "three_index").string() +
             " --set query.file=" + (folder() / "two.fvecs").string());
  const Found found = read_neighbors(folder() / "padded");
  const float none = std::numeric_limits<float>::infinity();
  EXPECT_EQ(found.ids, (std::vector<std::int64_t>{10, 0, 20, -1, -1}));
  EXPECT_EQ(found.distances, (std::vector<float>{0.25, 0.75, 1.25, none, none}));
}

TEST_F(Search, BrainFloatListsLoseLittle) {
  build("bf16", "vectors", "l2", "--set index.storage=bf16");
  search(2, "full", "--set search.mode=exact");
  search(3, "half", "--set search.mode=exact --set index=" + (folder() / "bf16").string());
  const Found full = read_neighbors(folder() / "full"), half = read_neighbors(folder() / "half");
  std::size_t same = 0;
  for (std::size_t i = 0; i < full.ids.size(); ++i) same += full.ids[i] == half.ids[i];
  EXPECT_GT(same, full.ids.size() * 8 / 10);
}

TEST_F(Search, SiftAgainstABruteForce) {
  const std::filesystem::path data =
      std::filesystem::path(TUTTI_SOURCE_DIR) / ".." / "shared" / "data" / "vectors";
  if (!std::filesystem::exists(data / "sift10k_base.u8bin"))
    GTEST_SKIP() << "no SIFT vectors beside the sources";
  const std::string base = read_text(data / "sift10k_base.u8bin");
  const std::vector<std::uint8_t> bytes(base.begin() + 8, base.end());
  write_vectors<std::uint8_t>(folder() / "sift", bytes, 128);
  build("sift_index", "sift", "l2");
  const std::string more = "--set index=" + (folder() / "sift_index").string() +
                           " --set query.file=" + (data / "siftsmall_query.fvecs").string();
  const auto result =
      search(2, "sift_both", more + " --set search.mode=both --set search.nprobe=40");
  EXPECT_GT(result["recall_at_k"], 0.9);
  search(3, "sift_exact", more + " --set search.mode=exact");
  std::vector<float> queries;
  const std::string file = read_text(data / "siftsmall_query.fvecs");
  for (std::size_t at = 0; at < file.size(); at += 4 + 4 * 128) {
    queries.resize(queries.size() + 128);
    std::memcpy(&queries[queries.size() - 128], file.data() + at + 4, 4 * 128);
  }
  const Found found = read_neighbors(folder() / "sift_exact");
  const Found truth = brute_force({bytes.begin(), bytes.end()}, queries, 128, Metric::l2, 10);
  EXPECT_EQ(found.ids, truth.ids);
  EXPECT_EQ(found.distances, truth.distances);
}

TEST_F(Search, ADamagedShardIsNamed) {
  for (const char* file : {"shard-00002.h5", "centroids.h5"}) {
    const std::filesystem::path damaged = folder() / "damaged";
    std::filesystem::remove_all(damaged);
    std::filesystem::copy(folder() / "l2", damaged, std::filesystem::copy_options::recursive);
    std::string bytes = read_text(damaged / file);
    bytes[bytes.size() - 1000] ^= 1;  // in the last extent
    testing::write_text(damaged / file, bytes);
    expect_error("--set search.mode=both --set index=" + damaged.string(), 65, file);
    testing::write_text(damaged / file, bytes.substr(0, bytes.size() / 2));
    expect_error("--set search.mode=both --set index=" + damaged.string(), 65, file);
  }
}

TEST_F(Search, MistakesEndWithTheirCodeAndSayWhatToDo) {
  testing::write_fvecs(folder() / "narrow.fvecs", clustered_vectors(2, 7, 1), 7);
  testing::write_fvecs(folder() / "empty.fvecs", {}, 7);
  std::vector<float> nan = clustered_vectors(3, kDim, 1);
  nan[25] = std::numeric_limits<float>::quiet_NaN();
  testing::write_fvecs(folder() / "nan.fvecs", nan, kDim);
  const auto file = [](const char* name) {
    return "--set query.file=" + (folder() / name).string();
  };
  expect_error(file("narrow.fvecs"), 65, "narrow.fvecs");
  expect_error(file("nan.fvecs"), 65, "nan.fvecs");
  expect_error(file("empty.fvecs"), 65, "empty.fvecs");
  expect_error(file("missing.fvecs"), 65, "missing.fvecs");
  expect_error("--set index=/nonexistent", 64, "/nonexistent");
  expect_error("--set index=" + (folder() / "vectors").string(), 65, "vectors");
  expect_error("--set search.k=0", 64, "search.k");
  expect_error("--set query.file=", 64, "query.file");
  expect_error("--text something", 64, "several places");
  expect_error("--set query.file= --text something", 64, "model");
}

TEST_F(Search, ADryRunWritesNothing) {
  const auto done = run_tutti(2, arguments("dry", "--dry-run"));
  EXPECT_EQ(done.exit_code, 0) << done.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "dry"));
}

// From documents to answers. An untrained model still finds a text by itself.
class SearchText : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("search_text_test");
    testing::write_corpus(folder() / "corpus.jsonl", 60);
    run("shard", "data",
        "--set input.paths='[\"" + (folder() / "corpus.jsonl").string() + "\"]'" +
            " --set shards=3 --set tokenizer.vocabulary=300 --set passage.tokens=24" +
            " --set split.heldout=0.3");
    const std::string dataset = " --set dataset=" + (folder() / "data").string();
    const std::string shape =
        " --set model.width=32 --set model.layers=1 --set model.heads=2"
        " --set model.feed_forward=64 --set model.max_tokens=32 --set train.steps=0";
    run("train", "model", dataset + shape);
    run("train", "other", dataset + shape + " --set train.seed=2");
    run("embed", "vectors", dataset + model("model"));
    run("index", "index", "--set vectors=" + (folder() / "vectors").string());
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string model(const std::string& name) {
    return " --set model=" + (folder() / name).string();
  }
  static void run(const std::string& job, const std::string& name, const std::string& more) {
    const auto done = run_tutti(2, job + " --run " + (folder() / name).string() + " " + more);
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  static testing::CommandResult search(int ranks, const std::string& name,
                                       const std::string& more) {
    return run_tutti(ranks, "search --run " + (folder() / name).string() +
                                " --set index=" + (folder() / "index").string() +
                                " --set search.nprobe=1000 " + more);
  }
  static nlohmann::json result_of(const std::string& name) {
    return nlohmann::json::parse(read_text(folder() / name / "result.json"));
  }
  static std::string document_called(const std::string& title) {
    std::ifstream corpus(folder() / "corpus.jsonl");
    for (std::string line; std::getline(corpus, line);)
      if (const auto document = nlohmann::json::parse(line); document["title"] == title)
        return document["text"];
    return "";
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* SearchText::scratch_ = nullptr;

TEST_F(SearchText, PrintsTheBestPassagesForEachQuestion) {
  const auto done =
      search(2, "asked", model("model") + " --set query.text='[\"kato miren\", \"taboka sul\"]'");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  const nlohmann::json answers = result_of("asked")["answers"];
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1]["question"], "taboka sul");
  ASSERT_EQ(answers[0]["passages"].size(), 5u);
  double before = 2;
  for (const auto& passage : answers[0]["passages"]) {
    EXPECT_LE(passage["score"].get<double>(), before);
    before = passage["score"];
    EXPECT_FALSE(passage["text"].get<std::string>().empty());
    EXPECT_NE(done.output.find(passage["title"].get<std::string>()), std::string::npos);
    EXPECT_NE(document_called(passage["title"]).find(passage["text"].get<std::string>()),
              std::string::npos);
  }
  EXPECT_NE(done.output.find("kato miren\n\n  1  "), std::string::npos) << done.output;
}

TEST_F(SearchText, FindsAPassageByItsOwnWords) {
  search(1, "first", model("model") + " --text kato");
  const std::string text = result_of("first")["answers"][0]["passages"][0]["text"];
  std::string words = text;
  std::replace(words.begin(), words.end(), '\n', ' ');
  ASSERT_EQ(search(2, "own", model("model") + " --text '" + words + "'").exit_code, 0);
  const nlohmann::json best = result_of("own")["answers"][0]["passages"][0];
  EXPECT_EQ(best["text"], text);
  EXPECT_NEAR(best["score"].get<double>(), 1, 0.02);
}

TEST_F(SearchText, ShowsPassagesWithinARadiusAndOfSeveralIndexes) {
  const std::string question = model("model") + " --text kato";
  ASSERT_EQ(search(2, "nearest", question).exit_code, 0);
  const nlohmann::json nearest = result_of("nearest")["answers"];
  ASSERT_EQ(search(2, "within", question + " --set search.radius=2.1").exit_code, 0);
  EXPECT_EQ(result_of("within")["answers"], nearest);
  const std::string index = (folder() / "index").string();
  ASSERT_EQ(search(2, "twice", question + " --set 'index=[\"" + index + "\", \"" + index + "\"]'")
                .exit_code,
            0);
  const nlohmann::json twice = result_of("twice")["answers"][0]["passages"];
  ASSERT_EQ(twice.size(), 5u);
  for (std::size_t i = 0; i < twice.size(); ++i) {
    EXPECT_EQ(twice[i]["rank"], i + 1);
    EXPECT_EQ(twice[i]["index"], index);
    EXPECT_EQ(twice[i]["text"], nearest[0]["passages"][i / 2]["text"]);
  }
}

TEST_F(SearchText, AsksAFileOfQuestionsAndHeldOutDocuments) {
  testing::write_text(folder() / "questions.jsonl",
                      "{\"query\": \"kato\"}\n\n{\"query\": \"miren sul\"}\n");
  testing::write_text(folder() / "questions.txt", "kato\nmiren sul\n");
  for (const char* source :
       {"query.file=questions.jsonl", "query.file=questions.txt", "query.dataset=data"}) {
    const std::string setting(source);
    const std::string more = model("model") + " --set " + setting.substr(0, setting.find('=') + 1) +
                             (folder() / setting.substr(setting.find('=') + 1)).string();
    ASSERT_EQ(search(1, "source1", more).exit_code, 0) << source;
    ASSERT_EQ(search(3, "source3", more).exit_code, 0) << source;
    EXPECT_EQ(result_of("source1")["neighbors_digest"], result_of("source3")["neighbors_digest"])
        << source;
    const bool documents = setting.starts_with("query.dataset");
    EXPECT_EQ(result_of("source1").contains("document_recall_at_k"), documents);
    if (documents)
      EXPECT_GT(result_of("source1")["queries"], 5);
    else
      EXPECT_EQ(result_of("source1")["queries"], 2);
  }
}

TEST_F(SearchText, MistakesEndWithTheirCodeAndSayWhatToDo) {
  const auto expect = [&](const std::string& more, int code, const std::string& text) {
    const auto done = search(2, "mistake", more);
    EXPECT_EQ(done.exit_code, code) << more << "\n" << done.output;
    EXPECT_NE(done.output.find(text), std::string::npos) << more << "\n" << done.output;
  };
  const auto manifest = [](const char* name) {
    return nlohmann::json::parse(read_text(folder() / name / "manifest.json"))["digest"]
        .get<std::string>();
  };
  expect(model("other") + " --text kato", 64, manifest("other"));
  expect(model("other") + " --text kato", 64, manifest("model"));
  expect(model("model") + " --text ''", 65, "question 1");
  testing::write_text(folder() / "broken.jsonl", "{\"query\": \"kato\"}\n{\"qu\": 3}\n");
  expect(model("model") + " --set query.file=" + (folder() / "broken.jsonl").string(), 65,
         "broken.jsonl:2");
  testing::write_corpus(folder() / "others.jsonl", 30, 2);
  run("shard", "others",
      "--set input.paths='[\"" + (folder() / "others.jsonl").string() +
          "\"]' --set tokenizer.vocabulary=300");
  expect(model("model") + " --text kato --set dataset=" + (folder() / "others").string(), 64,
         manifest("data"));
  expect(model("model") + " --set query.file=/nonexistent.txt", 64, "/nonexistent.txt");
}

}  // namespace
}  // namespace tutti
