#include "runtime/data/filter.h"

#include <cmath>
#include <functional>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/core/random.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

const std::vector<MetadataColumn> kColumns = {
    {"year", MetadataType::integer},
    {"score", MetadataType::real},
    {"lang", MetadataType::category, {"de", "en", "fr", "it's", "é"}},
    {"tags", MetadataType::tags, {"a", "b", "c"}},
    {"in", MetadataType::integer}};

// Seven rows; the last one is null everywhere.
std::vector<ColumnValues> seven_rows() {
  std::vector<ColumnValues> values(kColumns.size());
  values[0].integers = {2019, 2020, 2021, -5, 0, 2020, kNullInteger};
  values[1].reals = {0.5, 1e-3, -2, 0.1, 3, 0, kNullReal};
  values[2].codes = {0, 1, 1, 2, 3, 4, kNullCode};
  values[3].codes = {0, 1, 0, 1, 2, 2, kNullCode};
  values[3].offsets = {0, 2, 2, 3, 4, 5, 6, 7};  // ab, none, a, b, c, c, null
  values[4].integers = {1, 2, 3, 4, 5, 6, kNullInteger};
  return values;
}

std::vector<std::uint64_t> bits_of(const Filter& filter, const std::vector<ColumnValues>& values,
                                   std::int64_t rows) {
  std::vector<std::uint64_t> bits(std::size_t(Filter::words_of(rows)), ~std::uint64_t(0));
  filter.evaluate(views_of(values), rows, bits);
  return bits;
}

// "0 2 3": the rows of seven_rows() that it takes.
std::string rows_of(const std::string& text) {
  const auto bits = bits_of(Filter(text, kColumns), seven_rows(), 7);
  std::string rows;
  for (int i = 0; i < 64; ++i)
    if (bits[0] >> i & 1) rows += (rows.empty() ? "" : " ") + std::to_string(i);
  return rows;
}

TEST(Filter, Comparisons) {
  EXPECT_EQ(rows_of("year = 2020"), "1 5");
  EXPECT_EQ(rows_of("year != 2020"), "0 2 3 4");
  EXPECT_EQ(rows_of("year<>2020"), "0 2 3 4");
  EXPECT_EQ(rows_of("year < 2020"), "0 3 4");
  EXPECT_EQ(rows_of("year <= 2020"), "0 1 3 4 5");
  EXPECT_EQ(rows_of("year > -5"), "0 1 2 4 5");
  EXPECT_EQ(rows_of("year >= +2020"), "1 2 5");
  EXPECT_EQ(rows_of("score = 0.1"), "3");
  EXPECT_EQ(rows_of("score > 1e-3"), "0 3 4");
  EXPECT_EQ(rows_of("score >= .1E-2"), "0 1 3 4");
  EXPECT_EQ(rows_of("score < 0"), "2");
  EXPECT_EQ(rows_of("score <= 0"), "2 5");
  EXPECT_EQ(rows_of("lang = 'en'"), "1 2");
  EXPECT_EQ(rows_of("lang != 'en'"), "0 3 4 5");
  EXPECT_EQ(rows_of("lang = 'nn'"), "");
  EXPECT_EQ(rows_of("lang != 'nn'"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("lang = 'it''s'"), "4");
  EXPECT_EQ(rows_of("lang > 'fr'"), "4 5");
  EXPECT_EQ(rows_of("lang <= 'f'"), "0 1 2");
  EXPECT_EQ(rows_of("lang = 'é'"), "5");
}

TEST(Filter, IntegersAgainstOtherNumbers) {
  EXPECT_EQ(rows_of("year = 2020.0"), "1 5");
  EXPECT_EQ(rows_of("year = 2020.5"), "");
  EXPECT_EQ(rows_of("year != 2020.5"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("year > 2019.5"), "1 2 5");
  EXPECT_EQ(rows_of("year >= 2020.5"), "2");
  EXPECT_EQ(rows_of("year < -4.5"), "3");
  EXPECT_EQ(rows_of("year <= -4.5"), "3");
  EXPECT_EQ(rows_of("year < 1e30"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("year > 1e30"), "");
  EXPECT_EQ(rows_of("year > -99999999999999999999"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("year >= 9223372036854775807"), "");
  EXPECT_EQ(rows_of("year > 9223372036854775807"), "");
  EXPECT_EQ(rows_of("year < -9223372036854775807"), "");
  EXPECT_EQ(rows_of("year < -9223372036854775808"), "") << "how null is stored";
  EXPECT_EQ(rows_of("year = -9223372036854775808"), "");
  EXPECT_EQ(rows_of("year in (2020.5, 2019.0, 1e40)"), "0");
}

TEST(Filter, ListsRangesTagsAndNull) {
  EXPECT_EQ(rows_of("year in (2021, -5, 7, 2021)"), "2 3");
  EXPECT_EQ(rows_of("year not in (2021, -5)"), "0 1 4 5");
  EXPECT_EQ(rows_of("score in (3, 0.5)"), "0 4");
  EXPECT_EQ(rows_of("lang in ('fr', 'de', 'xx')"), "0 3");
  EXPECT_EQ(rows_of("lang not in ('fr')"), "0 1 2 4 5");
  EXPECT_EQ(rows_of("year between 0 and 2020"), "0 1 4 5");
  EXPECT_EQ(rows_of("year not between 0 and 2020"), "2 3");
  EXPECT_EQ(rows_of("year between 2020 and 0"), "");
  EXPECT_EQ(rows_of("lang between 'e' and 'fr'"), "1 2 3");
  EXPECT_EQ(rows_of("tags contains 'a'"), "0 2");
  EXPECT_EQ(rows_of("tags not contains 'a'"), "1 3 4 5");
  EXPECT_EQ(rows_of("tags contains 'z'"), "");
  EXPECT_EQ(rows_of("not tags contains 'z'"), "0 1 2 3 4 5");
  for (const char* column : {"year", "score", "lang", "tags"}) {
    EXPECT_EQ(rows_of(std::string(column) + " is null"), "6");
    EXPECT_EQ(rows_of(std::string(column) + " is not null"), "0 1 2 3 4 5");
  }
}

TEST(Filter, HowTestsBind) {
  EXPECT_EQ(rows_of("year = 2019 or year = 2020 and lang = 'en'"), "0 1");
  EXPECT_EQ(rows_of("(year = 2019 or year = 2020) and lang = 'en'"), "1");
  EXPECT_EQ(rows_of("not year = 2019 and year > 0"), "1 2 5");
  EXPECT_EQ(rows_of("not (year = 2019 and year > 0)"), "1 2 3 4 5");
  EXPECT_EQ(rows_of("NOT NOT\tyear\n=2019"), "0");
  EXPECT_EQ(rows_of("year BETWEEN 0 And 2019 aNd score IS NOT NULL"), "0 4");
  EXPECT_EQ(rows_of("\"in\" in (3) or \"year\" = 0"), "2 4");
  EXPECT_EQ(Filter("score > 0 and year = 1 or score < 0", kColumns).columns(),
            (std::vector<std::size_t>{0, 1}));
}

TEST(Filter, NullIsNeitherTrueNorFalse) {
  EXPECT_EQ(rows_of("year = 1 or not year = 1"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("year = 1 or lang is null"), "6");
  EXPECT_EQ(rows_of("not (year = 1 and lang is null)"), "0 1 2 3 4 5");
  EXPECT_EQ(rows_of("not (year = 1 and lang is not null)"), "0 1 2 3 4 5 6");
}

// What `text` is refused with, after "the filter, ".
std::string mistake(const std::string& text, std::span<const MetadataColumn> columns = kColumns) {
  try {
    Filter(text, columns);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    return std::string(error.what()).substr(std::string("the filter, ").size());
  }
  return "taken";
}

TEST(Filter, MistakesOfForm) {
  EXPECT_EQ(mistake(""), "character 1: found the end; expected a column's name");
  EXPECT_EQ(mistake("year = "),
            "character 8: found the end; expected a number, or a string in single quotes");
  EXPECT_EQ(mistake("year = \"x\""),
            "character 8: found the name \"x\"; expected a number, or a string in single quotes");
  EXPECT_EQ(mistake("year = null"),
            "character 8: found 'null'; expected a number, or a string in single quotes\n  fix: "
            "nothing equals null: write 'is null' or 'is not null'");
  EXPECT_EQ(mistake("year 2020"),
            "character 6: found the number 2020; expected a comparison, 'in', 'between', "
            "'contains' or 'is null'");
  EXPECT_EQ(mistake("year = 1 lang = 'x'"),
            "character 10: found 'lang'; expected 'and', 'or' or the end");
  EXPECT_EQ(mistake("(year = 1"), "character 10: found the end; expected 'and', 'or' or ')'");
  EXPECT_EQ(mistake("year in 1"), "character 9: found the number 1; expected '('");
  EXPECT_EQ(mistake("year in ()"),
            "character 10: found ')'; expected a number, or a string in single quotes");
  EXPECT_EQ(mistake("year in (1 2)"), "character 12: found the number 2; expected ',' or ')'");
  EXPECT_EQ(mistake("year between 1 or 2"),
            "character 16: found 'or'; expected 'and' and the upper end");
  EXPECT_EQ(mistake("year is 1"), "character 9: found the number 1; expected 'null' or 'not null'");
  EXPECT_EQ(mistake("year not = 1"),
            "character 10: found '='; expected 'in', 'between' or 'contains'");
  EXPECT_EQ(mistake("in = 1"),
            "character 1: found 'in'; expected a column's name\n  fix: quote a column of that "
            "name: \"in\"");
  EXPECT_EQ(mistake("lang = 'é' and 'x'"),
            "character 16: found the string 'x'; expected a column's name");
}

TEST(Filter, MistakesOfWords) {
  EXPECT_EQ(mistake("lang = 'en"),
            "character 8: a ' has no end\n  fix: a quote within quotes is written twice");
  EXPECT_EQ(mistake("year == 1"),
            "character 7: found '='; expected a number, or a string in single quotes");
  EXPECT_EQ(mistake("year = 12abc"), "character 8: '12abc' is no number");
  EXPECT_EQ(mistake("year = 1.2.3"),
            "character 11: found the number .3; expected 'and', 'or' or "
            "the end");
  EXPECT_EQ(mistake("year = 1e"), "character 8: '1e' is no number");
  EXPECT_EQ(mistake("year = 1e999"), "character 8: the number 1e999 is out of range");
  EXPECT_EQ(mistake("year = § 1"),
            "character 8: '§' means nothing here\n  fix: strings stand in single quotes");
  try {
    Filter("year = '\xff'", kColumns);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "the filter: byte 9 is no UTF-8");
  }
}

TEST(Filter, MistakesOfColumnsAndTypes) {
  EXPECT_EQ(mistake("yaer = 1"),
            "character 1: there is no column 'yaer'\n  fix: the nearest is 'year'");
  EXPECT_EQ(mistake("YEAR = 1 or score > 1").substr(0, 42),
            "character 1: there is no column 'YEAR'\n  f");
  EXPECT_EQ(mistake("year = 1", {}),
            "character 1: there is no column 'year'\n  fix: the vectors have no metadata; see "
            "metadata.columns of tutti shard");
  EXPECT_EQ(mistake("year = 'x'"),
            "character 8: the string 'x' does not go with the column 'year', which is an integer\n"
            "  fix: write a number, without quotes");
  EXPECT_EQ(mistake("lang in ('x', 5)"),
            "character 15: the number 5 does not go with the column 'lang', which is a category\n"
            "  fix: write a string in single quotes");
  EXPECT_EQ(mistake("tags = 'a'"),
            "character 6: '=' does not go with the column 'tags', which has tags\n"
            "  fix: write: tags contains 'TAG'");
  EXPECT_EQ(mistake("tags between 'a' and 'b'").substr(0, 30), "character 6: 'between' does no");
  EXPECT_EQ(mistake("lang contains 'x'"),
            "character 6: 'contains' does not go with the column 'lang', which is a category\n"
            "  fix: it looks for one of a row's tags");
  EXPECT_EQ(mistake("tags contains 5"),
            "character 15: the number 5 is no tag\n  fix: write a string in single quotes");
}

TEST(Filter, DepthIsBounded) {
  const auto nested = [](int depth) {
    return std::string(std::size_t(depth), '(') + "year = 1" + std::string(std::size_t(depth), ')');
  };
  EXPECT_EQ(mistake(nested(99)), "taken");
  EXPECT_EQ(mistake(nested(100)),
            "character 101: more than 100 parentheses and 'not' within each other");
  EXPECT_EQ(mistake(nested(1000000)).substr(0, 14), "character 101:");
  std::string nots, chain = "year = 1";
  for (int i = 0; i < 100000; ++i) nots += "not ", chain += " or year = 1";
  EXPECT_EQ(mistake(nots + "year = 1").substr(0, 14), "character 401:");
  EXPECT_EQ(rows_of(chain), "") << "a long chain is not deep";
}

// Truth as SQL has it, a row at a time: 0 false, 1 unknown, 2 true.
using Reference = std::function<int(std::size_t)>;

// Random data, and random filters together with what they mean.
class RandomFilters {
 public:
  explicit RandomFilters(std::uint64_t seed) : seed_(seed) {}

  std::vector<ColumnValues> values(std::int64_t rows) {
    std::vector<ColumnValues> all(kColumns.size());
    all[3].offsets = {7};  // offsets may begin anywhere
    all[3].codes.resize(7, 2);
    for (std::int64_t row = 0; row < rows; ++row) {
      all[0].integers.push_back(below(8) ? below(10) - 5 : kNullInteger);
      all[1].reals.push_back(below(8) ? double(below(10)) / 4 : kNullReal);
      all[2].codes.push_back(std::int32_t(below(6)) - 1);
      if (below(8) == 0)
        all[3].codes.push_back(kNullCode);
      else
        for (std::int32_t code = 0; code < 3; ++code)
          if (below(3) == 0) all[3].codes.push_back(code);
      all[3].offsets.push_back(std::int64_t(all[3].codes.size()));
      all[4].integers.push_back(below(3));
    }
    return all;
  }

  struct Made {
    std::string text;
    Reference truth;
  };

  Made make(const std::vector<ColumnValues>& data, int depth) {
    const std::int64_t kind = depth == 0 ? 3 + below(6) : below(9);
    if (kind == 0) {
      Made part = make(data, depth - 1);
      return {"not (" + part.text + ")", [t = part.truth](std::size_t i) { return 2 - t(i); }};
    }
    if (kind <= 2) {
      Made a = make(data, depth - 1), b = make(data, depth - 1);
      const bool both = kind == 1;
      return {"(" + a.text + (both ? ") and (" : ") or (") + b.text + ")",
              [s = a.truth, t = b.truth, both](std::size_t i) {
                return both ? std::min(s(i), t(i)) : std::max(s(i), t(i));
              }};
    }
    return kind == 3 ? tag(data) : kind == 4 ? null(data) : kind == 5 ? list(data) : number(data);
  }

  std::int64_t below(std::int64_t n) {
    return std::int64_t(random_u64(seed_, 1, next_++) % std::uint64_t(n));
  }

 private:
  static int known(bool null, bool truth) { return null ? 1 : truth ? 2 : 0; }

  Made tag(const std::vector<ColumnValues>& data) {
    const auto code = std::int32_t(below(4));
    return {fmt::format("tags contains '{}'", "abcz"[code]), [&data, code](std::size_t i) {
              const auto& [integers, reals, codes, offsets] = data[3];
              std::set<std::int32_t> tags(codes.begin() + offsets[i],
                                          codes.begin() + offsets[i + 1]);
              return known(tags.contains(-1), tags.contains(code));
            }};
  }
  Made null(const std::vector<ColumnValues>& data) {
    if (below(2))
      return {"score is null",
              [&data](std::size_t i) { return std::isnan(data[1].reals[i]) ? 2 : 0; }};
    return {"tags is not null", [&data](std::size_t i) {
              const auto begin = std::size_t(data[3].offsets[i]);
              return std::int64_t(begin) < data[3].offsets[i + 1] && data[3].codes[begin] == -1 ? 0
                                                                                                : 2;
            }};
  }
  Made list(const std::vector<ColumnValues>& data) {
    const std::int64_t a = below(5), b = below(5);
    if (below(2))
      return {fmt::format("year in ({}, {})", a, b), [&data, a, b](std::size_t i) {
                const std::int64_t x = data[0].integers[i];
                return known(x == kNullInteger, x == a || x == b);
              }};
    return {fmt::format("lang not in ('{}', '{}')", kColumns[2].values[std::size_t(a) % 3],
                        kColumns[2].values[std::size_t(b) % 3]),
            [&data, a, b](std::size_t i) {
              const std::int32_t x = data[2].codes[i];
              return known(x == -1, x != a % 3 && x != b % 3);
            }};
  }
  Made number(const std::vector<ColumnValues>& data) {
    constexpr const char* kOps[] = {"=", "!=", "<", "<=", ">", ">="};
    const std::int64_t op = below(6);
    const double value = double(below(24)) / 4 - 3;
    const bool real = below(2) != 0;
    return {
        fmt::format("{} {} {}", real ? "score" : "year", kOps[op], value),
        [&data, op, value, real](std::size_t i) {
          const bool null =
              real ? std::isnan(data[1].reals[i]) : data[0].integers[i] == kNullInteger;
          const double x = real ? data[1].reals[i] : double(data[0].integers[i]);
          const bool truths[] = {x == value, x != value, x<value, x <= value, x> value, x >= value};
          return known(null, truths[op]);
        }};
  }

  std::uint64_t seed_, next_ = 0;
};

TEST(Filter, AsAReferenceThatLooksAtOneRowAtATime) {
  for (const std::int64_t rows : {0, 1, 63, 64, 65, 1023, 1024, 1025, 3000}) {
    RandomFilters random(std::uint64_t(rows) + 1);
    const auto data = random.values(rows);
    for (int round = 0; round < 60; ++round) {
      const auto [text, truth] = random.make(data, int(random.below(5)));
      const auto bits = bits_of(Filter(text, kColumns), data, rows);
      std::int64_t count = 0;
      for (std::size_t i = 0; i < std::size_t(rows); ++i) {
        const bool wanted = truth(i) == 2;
        count += wanted;
        ASSERT_EQ(bits[i / 64] >> (i % 64) & 1, wanted) << text << ", row " << i;
      }
      ASSERT_EQ(count_bits(bits), count) << text << ": bits behind the last row";
    }
  }
}

}  // namespace
}  // namespace tutti
