// A filter over columns: each test is a loop over a block of rows that stays in the first cache.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "runtime/base/check.h"
#include "runtime/comm/partition.h"
#include "runtime/data/filter.h"
#include "runtime/data/filter_tree.h"

namespace tutti {
namespace {

constexpr std::int64_t kBlockRows = 1024;  // a multiple of 64
using Block = std::array<std::uint8_t, kBlockRows>;

bool is_null(std::int64_t value) { return value == kNullInteger; }
bool is_null(double value) { return value != value; }
bool is_null(std::int32_t code) { return code == kNullCode; }

template <class T>
std::span<const T> numbers_of(const ColumnView& column) {
  if constexpr (std::is_same_v<T, double>)
    return column.reals;
  else
    return column.integers;
}

// The truth of each row of a block, by the kind of test.
class BlockEvaluation {
 public:
  BlockEvaluation(std::span<const ColumnView> columns, Range rows)
      : columns_(columns), begin_(std::size_t(rows.begin)), count_(std::size_t(rows.size())) {}

  void run(const FilterNode& node, Block& truth) const {
    std::visit([&](const auto& test) { evaluate(test, truth); }, node.test);
  }

 private:
  // truth[i] = truth_of(i) for each row. What is fast captures by value, and the bound is a copy:
  // what is reached through a pointer might change with every byte that is written, as far as the
  // compiler knows, and the loop would not become vector code.
  template <class TruthOf>
  void fill(Block& truth, TruthOf truth_of) const {
    const std::size_t count = count_;
    for (std::size_t i = 0; i < count; ++i) truth[i] = std::uint8_t(truth_of(i));
  }

  void evaluate(const AllOf& all, Block& truth) const {
    fold(all.parts, truth, [](std::uint8_t a, std::uint8_t b) { return std::min(a, b); });
  }
  void evaluate(const AnyOf& any, Block& truth) const {
    fold(any.parts, truth, [](std::uint8_t a, std::uint8_t b) { return std::max(a, b); });
  }
  template <class Operation>
  void fold(const std::vector<FilterNode>& parts, Block& truth, Operation operation) const {
    run(parts.front(), truth);
    Block other;
    for (std::size_t part = 1; part < parts.size(); ++part) {
      run(parts[part], other);
      fill(truth, [a = truth.data(), b = other.data(), operation](std::size_t i) {
        return operation(a[i], b[i]);
      });
    }
  }

  void evaluate(const Negation& negation, Block& truth) const {
    run(negation.part.front(), truth);
    fill(truth, [t = truth.data()](std::size_t i) { return kFilterTrue - t[i]; });
  }

  void evaluate(const IsNull& test, Block& truth) const {
    const ColumnView& column = columns_[test.column];
    const auto look = [&](const auto* values) {
      fill(truth, [values](std::size_t i) { return is_null(values[i]) * kFilterTrue; });
    };
    if (!column.offsets.empty())
      fill(truth, [&](std::size_t i) { return is_null(first_tag(column, i)) * kFilterTrue; });
    else if (!column.codes.empty())
      look(&column.codes[begin_]);
    else if (!column.reals.empty())
      look(&column.reals[begin_]);
    else
      look(&column.integers[begin_]);
  }

  template <class T>
  void evaluate(const Within<T>& test, Block& truth) const {
    const T* values = &numbers_of<T>(columns_[test.column])[begin_];
    fill(truth, [values, low = test.low, high = test.high](std::size_t i) {
      // Null is never within.
      return is_null(values[i]) * kFilterUnknown +
             ((low <= values[i]) & (values[i] <= high)) * kFilterTrue;
    });
  }

  template <class T>
  void evaluate(const OneOf<T>& test, Block& truth) const {
    const T* values = &numbers_of<T>(columns_[test.column])[begin_];
    fill(truth, [&](std::size_t i) {
      return is_null(values[i])                                   ? kFilterUnknown
             : std::ranges::binary_search(test.values, values[i]) ? kFilterTrue
                                                                  : kFilterFalse;
    });
  }

  void evaluate(const CodeTable& test, Block& truth) const {
    fill(truth, [codes = &columns_[test.column].codes[begin_],
                 table = test.truth.data() + 1](std::size_t i) { return table[codes[i]]; });
  }

  void evaluate(const HasTag& test, Block& truth) const {
    const ColumnView& column = columns_[test.column];
    fill(truth, [&](std::size_t i) {
      const auto tags = tags_of(column, i);
      return is_null(first_tag(column, i))                      ? kFilterUnknown
             : std::ranges::find(tags, test.code) != tags.end() ? kFilterTrue
                                                                : kFilterFalse;
    });
  }

  std::span<const std::int32_t> tags_of(const ColumnView& column, std::size_t i) const {
    const std::int64_t* offsets = &column.offsets[begin_ + i];
    return column.codes.subspan(std::size_t(offsets[0]), std::size_t(offsets[1] - offsets[0]));
  }
  std::int32_t first_tag(const ColumnView& column, std::size_t i) const {
    const auto tags = tags_of(column, i);
    return tags.empty() ? kNoCode : tags.front();
  }

  std::span<const ColumnView> columns_;
  std::size_t begin_, count_;
};

// The bytes of 64 rows as bits: of eight at a time, the multiplication moves bit 0 of byte i to bit
// 56 + i.
std::uint64_t bits_of(const std::uint8_t* truth) {
  static_assert(kFilterTrue == 2 && std::endian::native == std::endian::little);
  std::uint64_t bits = 0;
  for (int i = 0; i < 8; ++i) {
    std::uint64_t eight;
    std::memcpy(&eight, truth + 8 * i, 8);
    eight = (eight >> 1) & 0x0101010101010101u;
    bits |= (eight * 0x0102040810204080u >> 56) << (8 * i);
  }
  return bits;
}

// Every column that the filter reads has a value, or an offset, for each row.
void check_rows(const ColumnView& column, std::int64_t rows) {
  const std::size_t values = !column.offsets.empty() ? column.offsets.size() - 1
                             : !column.codes.empty() ? column.codes.size()
                             : !column.reals.empty() ? column.reals.size()
                                                     : column.integers.size();
  CHECK(std::int64_t(values) == rows, "a column has other rows than the filter is to look at");
}

}  // namespace

void Filter::evaluate(std::span<const ColumnView> columns, std::int64_t rows,
                      std::span<std::uint64_t> bits) const {
  CHECK(std::int64_t(bits.size()) == words_of(rows));
  for (const std::size_t column : used_) check_rows(columns[column], rows);
  Block truth;
  for (std::int64_t begin = 0; begin < rows; begin += kBlockRows) {
    const Range block{begin, std::min(rows, begin + kBlockRows)};
    BlockEvaluation(columns, block).run(*root_, truth);
    std::fill(truth.begin() + block.size(), truth.end(), kFilterFalse);
    for (std::int64_t i = 0; i < block.size(); i += 64)
      bits[std::size_t((begin + i) / 64)] = bits_of(&truth[std::size_t(i)]);
  }
}

std::int64_t count_bits(std::span<const std::uint64_t> bits) {
  std::int64_t count = 0;
  for (const std::uint64_t word : bits) count += std::popcount(word);
  return count;
}

}  // namespace tutti
