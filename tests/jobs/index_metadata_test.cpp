// An index of vectors with metadata: every entry keeps what is known of its vector.
#include <cmath>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/data/dataset.h"
#include "runtime/data/metadata_columns.h"
#include "tests/jobs/described_vectors.h"

namespace tutti {
namespace {

using testing::Description;
using testing::read_text;
using testing::run_tutti;

constexpr std::int64_t kCount = 3000, kDim = 60;

class IndexMetadata : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    scratch_ = new testing::ScratchFolder("index_metadata_test");
    const std::vector<float> values = testing::clustered_vectors(kCount, kDim, 1);
    testing::shard_described_vectors(folder(), "vectors", values, kDim);
    testing::shard_described_vectors(folder(), "numbered", values, kDim, "number:integer");
  }
  static void TearDownTestSuite() { delete scratch_; }

  static const std::filesystem::path& folder() { return scratch_->path(); }
  static testing::CommandResult index(int ranks, const std::string& run, const std::string& vectors,
                                      const std::string& more = "") {
    return run_tutti(ranks, "index --run " + (folder() / run).string() + " --set vectors=" +
                                (folder() / vectors).string() + " --set index.nlist=37" +
                                " --set index.shards=5 --set kmeans.iterations=3 " + more);
  }
  static std::string digest_of(const std::string& run) {
    return nlohmann::json::parse(read_text(folder() / run / "manifest.json"))["digest"];
  }
  // That each entry of an index, whose ids are rows, is described as its vector is.
  static void expect_described(const std::string& run, bool by_number) {
    const Dataset dataset = Dataset::open(folder() / run, kIndexKind);
    const MetadataColumns metadata(dataset, "entries");
    ASSERT_EQ(metadata.columns().size(), 4u);
    const std::int64_t count = dataset.rows("entries");
    std::vector<std::int64_t> ids(static_cast<std::size_t>(count));
    dataset.read(dataset.column("entries", "id"), 0, count, std::span(ids));
    const auto values = metadata.read(std::vector<std::size_t>{0, 1, 2, 3}, {0, count});
    const auto names = metadata.read_external_ids({0, count});
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Description truth(ids[i]);
      ASSERT_EQ(names[i], by_number ? std::to_string(truth.number()) : truth.doc());
      ASSERT_EQ(values[0].integers[i], truth.is_known() ? truth.year() : kNullInteger);
      ASSERT_TRUE(truth.is_known() ? values[1].reals[i] == truth.score()
                                   : std::isnan(values[1].reals[i]));
      ASSERT_EQ(values[2].codes[i], truth.is_known() ? truth.lang() == "en" : kNullCode);
      const std::int64_t tags = values[3].offsets[i + 1] - values[3].offsets[i];
      ASSERT_EQ(tags, !truth.is_known() ? 1 : truth.is_old() ? 2 : 0);
    }
  }

  static testing::ScratchFolder* scratch_;
};
testing::ScratchFolder* IndexMetadata::scratch_ = nullptr;

TEST_F(IndexMetadata, TheSameBytesOnAnyNumberOfRanksAndOverManyRounds) {
  const std::string little = "--set memory_limit=1MiB";
  for (const char* vectors : {"vectors", "numbered"}) {
    const std::string one = std::string(vectors) + "1";
    for (const auto& [ranks, more] :
         {std::pair(1, std::string()), {2, ""}, {4, ""}, {1, little}, {2, little}}) {
      const std::string run = vectors + std::to_string(ranks) + (more.empty() ? "" : "little");
      const auto done = index(ranks, run, vectors, more);
      ASSERT_EQ(done.exit_code, 0) << done.output;
      EXPECT_EQ(digest_of(run), digest_of(one)) << run;
      for (const char* file : {"columns.json", "shard-00000.h5", "shard-00004.h5", "dataset.h5"})
        EXPECT_EQ(read_text(folder() / run / file), read_text(folder() / one / file)) << run;
    }
    EXPECT_EQ(read_text(folder() / one / "columns.json"),
              read_text(folder() / vectors / "columns.json"));
    expect_described(one, vectors == std::string("numbered"));
  }
}

TEST_F(IndexMetadata, BadVectorsAreLeftOutWithTheirMetadata) {
  std::vector<float> values = testing::clustered_vectors(300, 8, 4);
  std::fill_n(values.begin() + 150 * 8, 8, 0.0f);
  testing::shard_described_vectors(folder(), "bad", values, 8);
  const auto done =
      index(2, "skipped", "bad", "--set index.metric=cosine --set on_bad_record=skip");
  ASSERT_EQ(done.exit_code, 0) << done.output;
  EXPECT_EQ(Dataset::open(folder() / "skipped", kIndexKind).rows("entries"), 299);
  expect_described("skipped", false);
}

TEST_F(IndexMetadata, DamagedColumnsAreNamed) {
  std::filesystem::copy(folder() / "vectors", folder() / "damaged");
  testing::write_text(folder() / "damaged" / "columns.json", "{}");
  const auto done = index(2, "mistake", "damaged");
  EXPECT_EQ(done.exit_code, 65) << done.output;
  EXPECT_NE(done.output.find("columns.json"), std::string::npos) << done.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
}

}  // namespace
}  // namespace tutti
