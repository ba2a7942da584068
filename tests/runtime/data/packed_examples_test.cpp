#include "runtime/data/packed_examples.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/text_sharder.h"
#include "tests/runtime/data/example_dataset.h"

namespace tutti {
namespace {

using testing::world;
using Ids = std::vector<std::int32_t>;

constexpr std::int64_t kShards = 3;

struct Example {
  Ids tokens, predicted;
  std::uint8_t split = kTrainSplit;
};

// Example e has 3 + e * 7 % 17 tokens: 100 e, 100 e + 1, ...; the last ones are to be predicted,
// and of every third one more in front. Every fifth is held out.
std::vector<Example> many_examples() {
  std::vector<Example> all;
  for (std::int32_t e = 0; e < 400; ++e) {
    const std::int32_t n = 3 + e * 7 % 17;
    Example example{Ids(std::size_t(n)), {}, e % 5 == 4 ? kHeldoutSplit : kTrainSplit};
    std::iota(example.tokens.begin(), example.tokens.end(), 100 * e);
    if (e % 3 == 0 && n > 5) example.predicted = {1, 2};
    example.predicted.insert(example.predicted.end(), {n - 1 - e % 2, n});
    all.push_back(std::move(example));
  }
  return all;
}

void write_examples(const std::filesystem::path& folder, const std::vector<Example>& examples) {
  const ArtefactPlan plan{"dataset", text_tables(true), nlohmann::json::object()};
  begin_artefact(world(), folder);
  ArtefactParts parts;
  world().attempt([&] {
    for (std::int64_t shard = 0; world().is_root() && shard < kShards; ++shard) {
      ShardWriter writer(folder, shard, plan.tables, 1 << 20);
      const auto put = [&](const char* table, const char* name, auto value) {
        writer.append(writer.column(table, name), std::span<const decltype(value)>(&value, 1));
      };
      const std::vector<std::uint8_t> text = {'x'};
      const Range mine = part_of(std::ssize(examples), kShards, shard);
      for (std::int64_t row = 0; row < mine.size(); ++row) {
        const Example& example = examples[std::size_t(mine.begin + row)];
        for (const char* name : {"id", "title", "query_text"})
          writer.append_ragged(writer.column("documents", name), std::span(text));
        for (const char* name : {"query", "title_tokens"})
          writer.append_ragged(writer.column("documents", name), std::span<const std::int32_t>());
        put("documents", "split", example.split);
        put("documents", "first_passage", row);
        put("documents", "passages", std::int32_t(1));
        put("passages", "document", row);
        writer.append_ragged(writer.column("passages", "text"), std::span(text));
        writer.append_ragged(writer.column("passages", "tokens"), std::span(example.tokens));
        writer.append_ragged(writer.column("passages", kPredictedColumn),
                             std::span(example.predicted));
      }
      parts.shards.push_back(writer.finish());
    }
  });
  commit_artefact(world(), folder, plan, parts);
}

// The inputs and targets of an example, as the description says.
std::pair<Ids, Ids> expected(const Example& example, std::int32_t length) {
  const std::int32_t n = std::min(example.predicted.back() - 1, length);
  Ids targets(std::size_t(n), -1);
  for (std::size_t i = 0; i < example.predicted.size(); i += 2)
    for (std::int32_t t = example.predicted[i]; t < example.predicted[i + 1] && t <= n; ++t)
      targets[std::size_t(t - 1)] = example.tokens[std::size_t(t)];
  return {Ids(example.tokens.begin(), example.tokens.begin() + n), targets};
}

TEST(PackedExamples, EachExampleIsThereOnceAndWhole) {
  testing::SharedFolder shared("packed_examples");
  const std::vector<Example> examples = many_examples();
  write_examples(shared.path(), examples);
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  EXPECT_TRUE(has_examples(dataset));
  for (const std::uint8_t split : {kTrainSplit, kHeldoutSplit})
    for (const std::int32_t length : {19, 24, 64, 1000}) {
      const PackedExamples packed(dataset, {1, length, split});
      std::map<std::int32_t, std::pair<Ids, Ids>> wanted;  // by their first token
      for (const Example& example : examples)
        if (example.split == split) wanted[example.tokens[0]] = expected(example, length);
      EXPECT_EQ(packed.examples(), std::ssize(wanted));
      EXPECT_EQ(packed.cut() + packed.left_out(), 0);
      TokenCount total;
      for (std::int64_t number = 0; number < packed.sequences(); ++number) {
        const LanguageBatch one = packed.load_in_order({number, number + 1});
        ASSERT_EQ(one.sequences.tokens.size(), one.targets.size());
        EXPECT_LE(std::ssize(one.targets), length);
        for (std::int64_t i = 0; i < one.sequences.count(); ++i) {
          const auto begin = one.sequences.offsets[std::size_t(i)],
                     end = one.sequences.offsets[std::size_t(i) + 1];
          const Ids tokens(one.sequences.tokens.begin() + begin,
                           one.sequences.tokens.begin() + end),
              targets(one.targets.begin() + begin, one.targets.begin() + end);
          ASSERT_TRUE(wanted.count(tokens.at(0)));
          EXPECT_EQ(wanted[tokens[0]], std::pair(tokens, targets));
          wanted.erase(tokens[0]);
        }
        const TokenCount count = packed.count_in_order({number, number + 1});
        EXPECT_EQ(count.tokens, std::ssize(one.targets));
        EXPECT_EQ(count.asked, std::count_if(one.targets.begin(), one.targets.end(),
                                             [](std::int32_t t) { return t >= 0; }));
        total.tokens += count.tokens;
        total.asked += count.asked;
      }
      EXPECT_TRUE(wanted.empty());
      EXPECT_EQ(total.tokens, packed.total().tokens);
      EXPECT_EQ(total.asked, packed.total().asked);
      if (length == 64) {
        EXPECT_GT(packed.fill(), 0.9);
      }
    }
}

TEST(PackedExamples, ThePackingDoesNotFollowFromTheSeedButTheOrderDoes) {
  testing::SharedFolder shared("packed_seed");
  write_examples(shared.path(), many_examples());
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const PackedExamples one(dataset, {1, 40, kTrainSplit}), other(dataset, {2, 40, kTrainSplit});
  ASSERT_EQ(one.sequences(), other.sequences());
  const LanguageBatch all = one.load_in_order({0, one.sequences()});
  EXPECT_EQ(all.sequences.tokens, other.load_in_order({0, one.sequences()}).sequences.tokens);
  const std::int64_t batch = 4, steps = one.sequences() / batch;
  std::set<std::int64_t> met;
  for (std::int64_t step = 0; step < steps; ++step)
    for (const std::int64_t number : one.numbers(step, batch, {0, batch}))
      EXPECT_TRUE(met.insert(number).second);
  EXPECT_NE(one.numbers(0, steps * batch, {0, steps * batch}),
            other.numbers(0, steps * batch, {0, steps * batch}));
  // Parts of a batch are the batch.
  const LanguageBatch whole = one.load(1, batch, {0, 4}), part = one.load(1, batch, {2, 4});
  EXPECT_TRUE(std::equal(part.targets.rbegin(), part.targets.rend(), whole.targets.rbegin()));
}

TEST(PackedExamples, WhatIsTooLongIsCutOrLeftOut) {
  testing::SharedFolder shared("packed_cut");
  Ids tokens(10);
  std::iota(tokens.begin(), tokens.end(), 0);
  // The last token is a target alone, and what is behind the last target takes no room.
  write_examples(shared.path(), {{tokens, {8, 10}},
                                 {tokens, {3, 6}},
                                 {tokens, {4, 5, 6, 7}},
                                 {tokens, {7, 10}, kHeldoutSplit}});
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const PackedExamples whole(dataset, {1, 9, kTrainSplit}), cut(dataset, {1, 5, kTrainSplit});
  EXPECT_EQ(whole.cut() + whole.left_out(), 0);
  EXPECT_EQ(whole.total().tokens, 9 + 5 + 6);
  EXPECT_EQ(cut.examples(), 2);
  EXPECT_EQ(cut.left_out(), 1);
  EXPECT_EQ(cut.cut(), 1);
  EXPECT_EQ(cut.load_in_order({0, 2}).targets, (Ids{-1, -1, 3, 4, 5, -1, -1, -1, 4, -1}));
  EXPECT_EQ(cut.total().asked, 4);
  EXPECT_THROW(PackedExamples(dataset, {1, 5, kHeldoutSplit}), Error);
  EXPECT_NO_THROW(PackedExamples(dataset, {1, 7, kHeldoutSplit}));
}

TEST(PackedExamples, ATokenThatIsNoneIsRefused) {
  testing::SharedFolder shared("packed_token");
  write_examples(shared.path(), {{{1, 2, 3}, {1, 3}}, {{4, -1, 5}, {1, 3}}});
  const Dataset dataset = Dataset::open(shared.path(), "dataset");
  const PackedExamples packed(dataset, {1, 8, kTrainSplit});
  try {
    packed.load_in_order({0, packed.sequences()});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_NE(error.problem().find("token 1 of row 0 is -1"), std::string::npos) << error.problem();
  }
}

TEST(PackedExamples, RangesThatAreNoneAreRefused) {
  const Ids tokens = {1, 2, 3, 4};
  for (const Ids& predicted :
       {Ids{}, Ids{1}, Ids{0, 2}, Ids{2, 2}, Ids{3, 2}, Ids{1, 5}, Ids{1, 3, 2, 4}}) {
    testing::SharedFolder shared("packed_bad");
    write_examples(shared.path(), {{tokens, predicted}});
    const Dataset dataset = Dataset::open(shared.path(), "dataset");
    EXPECT_THROW(PackedExamples(dataset, {1, 8, kTrainSplit}), Error);
  }
}

}  // namespace
}  // namespace tutti
