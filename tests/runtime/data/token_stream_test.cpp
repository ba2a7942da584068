#include "runtime/data/token_stream.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/text_sharder.h"
#include "tests/runtime/data/example_dataset.h"

namespace tutti {
namespace {

using testing::world;

constexpr std::int64_t kShards = 3, kDocuments = 30;
constexpr std::int32_t kSeparator = 999;

// Document d has d % 4 passages of 1 + p tokens; every fifth is held out. Its tokens are 10 d, 10 d
// + 1, ...
std::vector<std::int32_t> document_tokens(std::int64_t d) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < (d % 4) * (d % 4 + 1) / 2; ++i)
    tokens.push_back(std::int32_t(10 * d + i));
  return tokens;
}

void write_documents(const std::filesystem::path& folder,
                     const nlohmann::json& metadata = nlohmann::json::object()) {
  const ArtefactPlan plan{"dataset", text_tables(), metadata};
  begin_artefact(world(), folder);
  ArtefactParts parts;
  world().attempt([&] {
    for (std::int64_t shard = 0; world().is_root() && shard < kShards; ++shard) {
      ShardWriter writer(folder, shard, plan.tables, 1 << 20);
      const auto column = [&](const char* table, const char* name) {
        return writer.column(table, name);
      };
      std::int64_t row = 0, passage_row = 0;
      const std::vector<std::uint8_t> text = {'x'};
      const std::vector<std::int32_t> none;
      for (std::int64_t d = shard * 10; d < shard * 10 + 10; ++d, ++row) {
        for (const char* name : {"id", "title", "query_text"})
          writer.append_ragged(column("documents", name), std::span(text));
        for (const char* name : {"query", "title_tokens"})
          writer.append_ragged(column("documents", name), std::span(none));
        const std::uint8_t split = d % 5 == 4 ? kHeldoutSplit : kTrainSplit;
        const auto passages = std::int32_t(d % 4);
        writer.append(column("documents", "split"), std::span(&split, 1));
        writer.append(column("documents", "first_passage"),
                      std::span<const std::int64_t>(&passage_row, 1));
        writer.append(column("documents", "passages"), std::span(&passages, 1));
        const std::vector<std::int32_t> tokens = document_tokens(d);
        for (std::int64_t p = 0, at = 0; p < passages; at += ++p, ++passage_row) {
          writer.append(column("passages", "document"), std::span<const std::int64_t>(&row, 1));
          writer.append_ragged(column("passages", "text"), std::span(text));
          writer.append_ragged(column("passages", "tokens"),
                               std::span(tokens).subspan(std::size_t(at), std::size_t(p + 1)));
        }
      }
      parts.shards.push_back(writer.finish());
    }
  });
  commit_artefact(world(), folder, plan, parts);
}

// The whole stream, as its description says.
std::vector<std::int32_t> expected_stream(bool heldout) {
  std::vector<std::int32_t> stream;
  for (std::int64_t d = 0; d < kDocuments; ++d) {
    if ((d % 5 == 4) != heldout || d % 4 == 0) continue;
    stream.push_back(kSeparator);
    const auto tokens = document_tokens(d);
    stream.insert(stream.end(), tokens.begin(), tokens.end());
  }
  return stream;
}

TEST(TokenStream, SequencesAreTheStreamCutAtItsLength) {
  testing::SharedFolder shared("token_stream");
  write_documents(shared.path());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  for (const bool heldout : {false, true})
    for (const std::int64_t length : {1, 3, 7, 14}) {
      const std::vector<std::int32_t> all = expected_stream(heldout);
      const TokenStream stream(dataset,
                               {1, length, kSeparator, heldout ? kHeldoutSplit : kTrainSplit});
      EXPECT_EQ(stream.tokens(), std::ssize(all));
      ASSERT_EQ(stream.sequences(), (std::ssize(all) - 1) / length);
      const LanguageBatch batch = stream.load_in_order({0, stream.sequences()});
      const auto size = std::size_t(stream.sequences() * length);
      EXPECT_EQ(batch.sequences.tokens,
                std::vector(all.begin(), all.begin() + std::ptrdiff_t(size)));
      EXPECT_EQ(batch.targets,
                std::vector(all.begin() + 1, all.begin() + 1 + std::ptrdiff_t(size)));
      // A sequence of its own begins at each cut and at each document, and nowhere else.
      std::set<std::int32_t> starts = {0};
      for (std::size_t i = 0; i <= size; ++i)
        if (i % std::size_t(length) == 0 || (i < size && all[i] == kSeparator))
          starts.insert(std::int32_t(i));
      EXPECT_EQ(batch.sequences.offsets, std::vector(starts.begin(), starts.end()));
    }
}

TEST(TokenStream, AnEpochMeetsEachSequenceOnceInAnOrderOfItsOwn) {
  testing::SharedFolder shared("token_stream_epoch");
  write_documents(shared.path());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const TokenStream stream(dataset, {7, 4, kSeparator, kTrainSplit});
  const std::int64_t batch = 3, steps = stream.sequences() / batch;
  std::set<std::int64_t> met;
  std::vector<std::int64_t> first, second;
  for (std::int64_t step = 0; step < 2 * steps; ++step)
    for (const std::int64_t number : stream.numbers(step, batch, {0, batch})) {
      (step < steps ? first : second).push_back(number);
      if (step < steps) {
        EXPECT_TRUE(met.insert(number).second);
      }
    }
  EXPECT_NE(first, second);
  // Parts of a batch are the batch.
  const LanguageBatch whole = stream.load(1, batch, {0, 3}), part = stream.load(1, batch, {1, 3});
  EXPECT_TRUE(std::equal(part.targets.begin(), part.targets.end(), whole.targets.begin() + 4));
}

// The ids of a batch are those of its definition, which knows no ranks, and ranks that take their
// leaves of it load these and no others.
TEST(TokenStream, RanksAndResumesMeetTheSameSamples) {
  testing::SharedFolder shared("token_stream_ranks");
  write_documents(shared.path());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const TokenStreamOptions options{7, 4, kSeparator, kTrainSplit};
  const TokenStream stream(dataset, options);
  constexpr std::int64_t kLeaf = 2, kBatch = 6, kSteps = 12;
  const std::int64_t steps_an_epoch = stream.sequences() / kBatch;
  ASSERT_GT(steps_an_epoch, 1);
  ASSERT_GT(kSteps, 2 * steps_an_epoch);
  const Sampler order(stream.sequences(), options.seed);
  const Range leaves = part_of(kBatch / kLeaf, world().size(), world().rank());
  for (std::int64_t step = 0; step < kSteps; ++step) {
    std::vector<std::int64_t> expected;
    for (std::int64_t i = 0; i < kBatch; ++i)
      expected.push_back(order.at(step / steps_an_epoch, step % steps_an_epoch * kBatch + i));
    // A start in the middle of an epoch has seen nothing of what came before.
    const TokenStream resumed(dataset, options);
    std::vector<std::int64_t> numbers;
    std::vector<std::int32_t> tokens;
    for (std::int64_t leaf = leaves.begin; leaf < leaves.end; ++leaf) {
      const Range samples{leaf * kLeaf, (leaf + 1) * kLeaf};
      for (const std::int64_t number : resumed.numbers(step, kBatch, samples))
        numbers.push_back(number);
      const LanguageBatch batch = resumed.load(step, kBatch, samples);
      tokens.insert(tokens.end(), batch.sequences.tokens.begin(), batch.sequences.tokens.end());
    }
    EXPECT_EQ(world().all_gather(std::span<const std::int64_t>(numbers)), expected) << step;
    std::vector<std::int32_t> text;
    for (const std::int64_t number : expected) {
      const LanguageBatch one = stream.load_in_order({number, number + 1});
      text.insert(text.end(), one.sequences.tokens.begin(), one.sequences.tokens.end());
    }
    EXPECT_EQ(world().all_gather(std::span<const std::int32_t>(tokens)), text) << step;
  }
}

// No step is reached by way of those before it: this one would never be.
TEST(TokenStream, AnyStepIsFoundAtOnce) {
  testing::SharedFolder shared("token_stream_far");
  write_documents(shared.path());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const TokenStream stream(dataset, {7, 4, kSeparator, kTrainSplit});
  const std::int64_t steps = stream.sequences() / 6, epoch = std::int64_t(1) << 50;
  const std::int64_t step = epoch * steps + 1;
  const Sampler order(stream.sequences(), 7);
  std::vector<std::int64_t> expected;
  for (std::int64_t i = 0; i < 6; ++i) expected.push_back(order.at(epoch, 6 + i));
  EXPECT_EQ(stream.numbers(step, 6, {0, 6}), expected);
  EXPECT_EQ(std::ssize(stream.load(step, 6, {0, 6}).targets), 24);
}

TEST(TokenStream, TokensOutsideTheVocabularyAreRefusedWhereTheyStand) {
  testing::SharedFolder shared("token_stream_vocabulary");
  write_documents(shared.path(), {{"vocabulary", 225}});
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  EXPECT_THROW(TokenStream(dataset, {1, 14, 225, kTrainSplit}), Error);
  const TokenStream stream(dataset, {1, 14, 224, kTrainSplit});
  EXPECT_NO_THROW(stream.load_in_order({0, 1}));
  try {
    stream.load_in_order({0, stream.sequences()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    // Of document 23, behind 21 with one passage and 22 with two.
    EXPECT_EQ(error.problem(),
              "token 0 of row 3 is 230; expected one of the vocabulary, from 0 to 224");
    EXPECT_NE(error.place().find("shard-00002.h5, /passages/tokens"), std::string::npos)
        << error.place();
  }
}

TEST(TokenStream, TooLittleIsRefused) {
  testing::SharedFolder shared("token_stream_little");
  write_documents(shared.path());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  EXPECT_THROW(TokenStream(dataset, {1, 100000, kSeparator, kTrainSplit}), Error);
}

}  // namespace
}  // namespace tutti
