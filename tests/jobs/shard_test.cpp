// The shard job as a user starts it: the same bytes on any number of ranks, killed or not, and
// plain words for bad input.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "runtime/data/dataset.h"
#include "runtime/data/filter.h"
#include "runtime/data/metadata_columns.h"
#include "runtime/data/paths.h"
#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"
#include "tests/support/corpus.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_tutti;
using testing::write_text;

class Shard : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("shard_test");
    testing::write_corpus(folder() / "corpus.jsonl", 150);
    write_text(folder() / "text.toml",
               "shards = 5\n[input]\npaths = [\"" + (folder() / "corpus.jsonl").string() +
                   "\"]\n[tokenizer]\nvocabulary = 300\n[passage]\ntokens = 24\n"
                   "[split]\nheldout = 0.2\n");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static std::string arguments(const std::string& run, const std::string& more = "") {
    return "shard " + (folder() / "text.toml").string() + " --run " + (folder() / run).string() +
           " " + more;
  }
  static std::string input(const std::filesystem::path& path) {
    return "--set 'input.paths=[\"" + path.string() + "\"]' ";
  }
  static nlohmann::json result_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / kResultFile));
  }
  // The artefact's files by name.
  static std::map<std::string, std::string> artefact_of(const std::string& run) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder() / run)) {
      const std::string name = entry.path().filename().string();
      if (is_shard_file(name) || name == kManifestFile || name == kWholeFile ||
          name == kTokenizerFile || name == kColumnsFile)
        files[name] = read_text(entry.path());
    }
    return files;
  }
  static const std::map<std::string, std::string>& undisturbed() {
    static const auto files = [] {
      const auto done = run_tutti(1, arguments("undisturbed"));
      EXPECT_EQ(done.exit_code, 0) << done.output;
      return artefact_of("undisturbed");
    }();
    return files;
  }
  // Ends with this code, says this, and leaves nothing that passes for a dataset.
  static void expect_refused(int code, const std::string& said, const std::string& more) {
    const auto refused = run_tutti(2, arguments("refused", more));
    EXPECT_EQ(refused.exit_code, code) << refused.output;
    EXPECT_NE(refused.output.find(said), std::string::npos) << refused.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "refused" / kManifestFile));
  }

  // Arguments for an input that takes a second or so, in 40 shards.
  static std::string long_input() {
    undisturbed();
    if (!std::filesystem::exists(folder() / "long.jsonl"))
      testing::write_corpus(folder() / "long.jsonl", 6000);
    return input(folder() / "long.jsonl") + "--set shards=40 --set tokenizer.model=" +
           (folder() / "undisturbed" / kTokenizerFile).string();
  }
  // Runs until so many shards are finished, then kills the run. Returns what it said.
  static std::string run_until_shards(const std::string& run, int ranks, const std::string& more,
                                      int shards) {
    const std::filesystem::path log = folder() / (run + ".log");
    testing::Process process(testing::tutti_command(ranks, arguments(run, more)), log.string());
    const auto finished = [&] {
      int count = 0;
      std::error_code unlisted;
      for (const auto& entry : std::filesystem::directory_iterator(folder() / run, unlisted))
        count += is_shard_record_file(entry.path().filename().string());
      return count;
    };
    while (!process.ended() && finished() < shards) usleep(2000);
    process.kill_all();
    return read_text(log);
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* Shard::scratch_ = nullptr;

TEST_F(Shard, TheSameBytesOnAnyNumberOfRanks) {
  EXPECT_EQ(undisturbed().size(), 8u);  // 5 shards, the whole, the tokenizer, the manifest
  for (const int ranks : {2, 3, 4, 7}) {
    const std::string run = "ranks" + std::to_string(ranks);
    const auto done = run_tutti(ranks, arguments(run));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_TRUE(artefact_of(run) == undisturbed()) << ranks << " ranks";
    EXPECT_EQ(result_of(run)["dataset_digest"], result_of("undisturbed")["dataset_digest"]);
  }
}

TEST_F(Shard, HoldsTheDocuments) {
  undisturbed();
  const Dataset dataset = Dataset::open(folder() / "undisturbed", kDatasetKind);
  ASSERT_EQ(dataset.rows("documents"), 150);
  const auto number = [&](const char* key) {
    return dataset.manifest().metadata.at(key).get<std::int64_t>();
  };
  EXPECT_EQ(number("documents"), 150);
  EXPECT_EQ(number("passages"), dataset.rows("passages"));
  EXPECT_NEAR(double(number("heldout_documents")), 30, 15);
  std::vector<std::int64_t> offsets;
  std::vector<std::uint8_t> ids;
  dataset.read_ragged(dataset.column("documents", "id"), 0, 150, offsets, ids);
  for (std::size_t i = 0; i < 150; ++i)
    EXPECT_EQ(std::string(ids.begin() + offsets[i], ids.begin() + offsets[i + 1]),
              "doc" + std::to_string(i));

  std::int64_t tokens = 0;
  for (std::int64_t shard = 0; shard < 5; ++shard) {
    const Range documents = dataset.shard_rows("documents", shard),
                passages = dataset.shard_rows("passages", shard);
    std::vector<std::int64_t> first(std::size_t(documents.size())),
        of(std::size_t(passages.size()));
    std::vector<std::int32_t> count(std::size_t(documents.size())), values;
    dataset.read(dataset.column("documents", "first_passage"), documents.begin, documents.size(),
                 std::span(first));
    dataset.read(dataset.column("documents", "passages"), documents.begin, documents.size(),
                 std::span(count));
    dataset.read(dataset.column("passages", "document"), passages.begin, passages.size(),
                 std::span(of));
    for (std::size_t d = 0; d < first.size(); ++d)
      for (std::int64_t p = first[d]; p < first[d] + count[d]; ++p)
        EXPECT_EQ(of[std::size_t(p)], std::int64_t(d));
    dataset.read_ragged(dataset.column("passages", "tokens"), passages.begin, passages.size(),
                        offsets, values);
    for (std::size_t p = 0; p < of.size(); ++p)
      EXPECT_TRUE(offsets[p + 1] - offsets[p] >= 1 && offsets[p + 1] - offsets[p] <= 24);
    tokens += std::int64_t(values.size());
  }
  EXPECT_EQ(tokens, number("tokens"));
}

TEST_F(Shard, KilledAndStartedAgain) {
  const std::string more = long_input();
  ASSERT_EQ(run_tutti(2, arguments("long", more)).exit_code, 0);
  int resumed = 0;
  for (int kill = 1; kill <= 5; ++kill) {
    const std::string log = run_until_shards("killed", 1 + kill % 3, more, 4 * kill);
    resumed += log.find("of 40 shards are finished already") != std::string::npos;
  }
  EXPECT_GE(resumed, 1);
  const auto done = run_tutti(2, arguments("killed", more));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_TRUE(artefact_of("killed") == artefact_of("long"));
  for (const auto& entry : std::filesystem::directory_iterator(folder() / "killed")) {
    const std::string name = entry.path().filename().string();
    EXPECT_FALSE(is_shard_record_file(name) || is_leftover_file(name)) << name;
  }
}

TEST_F(Shard, FinishedShardsAreKeptOnlyForTheSameConfiguration) {
  const std::string more = long_input();
  run_until_shards("other", 2, more, 3);
  const auto other = run_tutti(2, arguments("other", more + " --set passage.tokens=16"));
  ASSERT_EQ(other.exit_code, 0) << other.output;
  EXPECT_EQ(other.output.find("finished already"), std::string::npos);
}

TEST_F(Shard, StopsInTimeAndGoesOn) {
  const auto stopped = run_tutti(2, arguments("stopped", "--max-time 0.001s"));
  ASSERT_EQ(stopped.exit_code, 75) << stopped.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "stopped" / kManifestFile));
  const auto done = run_tutti(1, arguments("stopped"));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_TRUE(artefact_of("stopped") == undisturbed());
}

TEST_F(Shard, BadRecords) {
  std::string text = read_text(folder() / "corpus.jsonl");
  text.insert(text.find('\n', 20000) + 1, "{\"id\": \"cut\n");
  write_text(folder() / "bad.jsonl", text);
  const auto line =
      1 +
      std::count(text.begin(), text.begin() + std::ptrdiff_t(text.find("{\"id\": \"cut\n")), '\n');
  expect_refused(65, "bad.jsonl:" + std::to_string(line), input(folder() / "bad.jsonl"));
  const auto skipped = run_tutti(
      2, arguments("skipped", input(folder() / "bad.jsonl") + "--set on_bad_record=skip"));
  ASSERT_EQ(skipped.exit_code, 0) << skipped.output;
  EXPECT_EQ(result_of("skipped")["skipped_records"], 1);
  EXPECT_EQ(result_of("skipped")["documents"], 150);
  EXPECT_NE(skipped.output.find("bad.jsonl:" + std::to_string(line)), std::string::npos)
      << skipped.output;
}

TEST_F(Shard, BadInputAndConfiguration) {
  expect_refused(64, "passage.tokens", "--set pasage.tokens=10");
  expect_refused(64, "none.jsonl", input(folder() / "none.jsonl"));
  expect_refused(64, "memory_limit", "--set memory_limit=1MiB");
  write_text(folder() / "empty.jsonl", "");
  expect_refused(65, "empty.jsonl", input(folder() / "empty.jsonl"));
  write_text(folder() / "blank.jsonl", "{\"id\": \"a\", \"text\": \" \"}\n");
  expect_refused(65, "no text", input(folder() / "blank.jsonl"));
  write_text(folder() / "no.model", "this is no model");
  expect_refused(65, "no.model", "--set tokenizer.model=" + (folder() / "no.model").string());
  write_text(folder() / "cut.fvecs", std::string("\x02\0\0\0abcd", 8));
  expect_refused(65, "cut.fvecs", input(folder() / "cut.fvecs"));
}

TEST_F(Shard, DryRunWritesNothing) {
  const auto checked = run_tutti(2, arguments("dry", "--dry-run"));
  EXPECT_EQ(checked.exit_code, 0) << checked.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "dry"));
}

TEST_F(Shard, AFolderOfText) {
  std::filesystem::create_directories(folder() / "texts" / "deep");
  for (int i = 0; i < 12; ++i)
    write_text(folder() / "texts" / (i % 2 ? "deep" : "") / ("page" + std::to_string(i) + ".txt"),
               "The page " + std::to_string(i) +
                   " speaks of nodes.\n\nAnd of ranks and shards, at length.");
  for (const int ranks : {1, 3}) {
    const auto done = run_tutti(
        ranks, arguments("texts" + std::to_string(ranks) + "run", input(folder() / "texts")));
    ASSERT_EQ(done.exit_code, 0) << done.output;
  }
  EXPECT_EQ(result_of("texts1run")["documents"], 12);
  EXPECT_TRUE(artefact_of("texts1run") == artefact_of("texts3run"));
}

TEST_F(Shard, Vectors) {
  std::string bytes;
  for (int row = 0; row < 1000; ++row) {
    const std::int32_t dimension = 7;
    float values[7];
    for (int i = 0; i < 7; ++i) values[i] = float(row * 7 + i);
    bytes.append(reinterpret_cast<const char*>(&dimension), 4);
    bytes.append(reinterpret_cast<const char*>(values), sizeof(values));
  }
  write_text(folder() / "v.fvecs", bytes);
  for (const int ranks : {1, 2, 3}) {
    const auto done =
        run_tutti(ranks, arguments("vectors" + std::to_string(ranks), input(folder() / "v.fvecs")));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_TRUE(artefact_of("vectors" + std::to_string(ranks)) == artefact_of("vectors1")) << ranks;
  }
  const Dataset dataset = Dataset::open(folder() / "vectors2", kVectorsKind);
  ASSERT_EQ(dataset.rows("vectors"), 1000);
  std::vector<float> vectors(7000);
  std::vector<std::int64_t> ids(1000);
  dataset.read(dataset.column("vectors", "vector"), 0, 1000, std::span(vectors));
  dataset.read(dataset.column("vectors", "id"), 0, 1000, std::span(ids));
  for (std::size_t i = 0; i < 7000; ++i) EXPECT_EQ(vectors[i], float(i));
  for (std::size_t i = 0; i < 1000; ++i) EXPECT_EQ(ids[i], std::int64_t(i));
}

// Vectors with metadata, in 5 shards: the arguments to shard them.
class ShardMetadata : public Shard {
 protected:
  static constexpr int kRows = 3000;

  static std::string line_of(int row) {
    return row % 10 == 9
               ? "{\"doc\": \"d" + std::to_string(row) + "\"}\n"
               : fmt::format(
                     R"({{"doc": "d{0}", "year": {1}, "score": {0}.25, "lang": "{2}", "tags": [{3}]}})"
                     "\n",
                     row, 2000 + row % 25, row % 3 ? "en" : "de", row % 4 ? "\"old\", \"a\"" : "");
  }
  static std::string lines() {
    std::string all;
    for (int row = 0; row < kRows; ++row) all += line_of(row);
    return all;
  }
  static void SetUpTestSuite() {
    Shard::SetUpTestSuite();
    testing::write_fvecs(folder() / "v.fvecs", testing::clustered_vectors(kRows, 6, 1), 6);
    write_text(folder() / "m.jsonl", lines());
  }
  static std::string metadata(
      const std::string& file,
      const std::string& columns =
          R"(["year:integer", "score:float", "lang:category", "tags:tags"])",
      const std::string& id = "doc:string") {
    return input(folder() / "v.fvecs") + "--set metadata.file=" + (folder() / file).string() +
           " --set 'metadata.columns=" + columns + "' --set metadata.id=" + id + " ";
  }
  static void expect_lines_refused(int code, const std::string& said, const std::string& text) {
    write_text(folder() / "bad.jsonl", text);
    expect_refused(code, said, metadata("bad.jsonl"));
  }
};

TEST_F(ShardMetadata, TheSameBytesOnAnyNumberOfRanks) {
  for (const int ranks : {1, 2, 4}) {
    const std::string run = "columns" + std::to_string(ranks);
    const auto done = run_tutti(ranks, arguments(run, metadata("m.jsonl")));
    ASSERT_EQ(done.exit_code, 0) << done.output;
    EXPECT_EQ(artefact_of(run).size(), 8u);  // 5 shards, the whole, the columns, the manifest
    EXPECT_TRUE(artefact_of(run) == artefact_of("columns1")) << ranks;
  }
  const Dataset dataset = Dataset::open(folder() / "columns2", kVectorsKind);
  const MetadataColumns columns(dataset);
  EXPECT_EQ(columns.columns()[2].values, (std::vector<std::string>{"de", "en"}));
  EXPECT_EQ(columns.read_external_ids({1234, 1235}), (std::vector<std::string>{"d1234"}));
  const Filter filter("lang = 'de' and year >= 2020 and not tags contains 'a'", columns.columns());
  std::vector<std::uint64_t> bits(std::size_t(Filter::words_of(kRows)));
  const auto values = columns.read(filter.columns(), {0, kRows});
  filter.evaluate(views_of(values), kRows, bits);
  for (int row = 0; row < kRows; ++row)
    ASSERT_EQ(bits[std::size_t(row) / 64] >> (row % 64) & 1,
              row % 10 != 9 && row % 3 == 0 && row % 25 >= 20 && row % 4 == 0)
        << row;
}

TEST_F(ShardMetadata, KilledAndStartedAgain) {
  const std::string more = metadata("m.jsonl") + "--set shards=300 ";
  const auto done = run_tutti(2, arguments("columns_whole", more));
  ASSERT_EQ(done.exit_code, 0) << done.output;
  for (int kill = 1; kill <= 3; ++kill) run_until_shards("columns_killed", kill, more, 60 * kill);
  const auto again = run_tutti(2, arguments("columns_killed", more));
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_NE(again.output.find("shards are finished already"), std::string::npos) << again.output;
  EXPECT_TRUE(artefact_of("columns_killed") == artefact_of("columns_whole"));
}

TEST_F(ShardMetadata, BadLines) {
  const std::string rest = lines().substr(line_of(0).size());
  expect_lines_refused(65, "bad.jsonl:1: the field \"year\" is a string",
                       "{\"doc\": \"d\", \"year\": \"2000\"}\n" + rest);
  expect_lines_refused(65, "bad.jsonl:1: the record has no field \"doc\"", "{}\n" + rest);
  expect_lines_refused(65, "bad.jsonl: 2999 lines of metadata, but 3000 vectors", rest);
  expect_lines_refused(65, "bad.jsonl: 3001 lines of metadata", line_of(7000) + lines());
  expect_lines_refused(65, "bad.jsonl:2001: the id 'd2000' is there twice, first in ",
                       line_of(2000) + rest);
  write_text(folder() / "bad.jsonl", "{}\n" + rest);
  const auto skipped =
      run_tutti(2, arguments("columns_skip", metadata("bad.jsonl") + "--set on_bad_record=skip"));
  ASSERT_EQ(skipped.exit_code, 0) << skipped.output;
  EXPECT_NE(skipped.output.find("bad.jsonl:1: the record has no field"), std::string::npos);
  EXPECT_EQ(result_of("columns_skip")["skipped_records"], 1);
  const Dataset dataset = Dataset::open(folder() / "columns_skip", kVectorsKind);
  EXPECT_EQ(dataset.rows("vectors"), kRows - 1);
  EXPECT_EQ(MetadataColumns(dataset).read_external_ids({0, 1})[0], "d1");
}

TEST_F(ShardMetadata, BadConfiguration) {
  expect_refused(65, "no line has a field \"lnag\"", metadata("m.jsonl", R"(["lnag:category"])"));
  expect_refused(64, "metadata.columns: 'lang' is no column", metadata("m.jsonl", R"(["lang"])"));
  expect_refused(64, "the column 'a' is named twice",
                 metadata("m.jsonl", R"(["a:tags", "a:float"])"));
  expect_refused(64, "already", metadata("m.jsonl", R"(["id:integer"])"));
  expect_refused(64, "metadata.id: 'doc' is no field and type", metadata("m.jsonl", "[]", "doc"));
  expect_refused(64, "check metadata.file", metadata("none.jsonl"));
  expect_refused(
      64, "metadata go with vectors",
      "--set metadata.id=doc:string --set metadata.file=" + (folder() / "m.jsonl").string());
  expect_refused(64, "metadata.file", "--set metadata.id=doc:string");
}

TEST_F(ShardMetadata, Inspected) {
  ASSERT_EQ(run_tutti(1, arguments("inspected", metadata("m.jsonl"))).exit_code, 0);
  const std::string run = (folder() / "inspected").string();
  const auto seen = run_tutti(2, "inspect " + run);
  EXPECT_EQ(seen.exit_code, 0) << seen.output;
  EXPECT_NE(seen.output.find("  lang                 category of 2: 'de', 'en'\n"),
            std::string::npos)
      << seen.output;
  write_text(folder() / "inspected" / kColumnsFile, "{}");
  const auto damaged = run_tutti(2, "inspect " + run);
  EXPECT_EQ(damaged.exit_code, 65);
  EXPECT_NE(damaged.output.find(kColumnsFile), std::string::npos) << damaged.output;
}

}  // namespace
}  // namespace tutti
