// A few queries beside the codes of a task's vectors: their tiles, and the pairs that these leave.
// Internal to kernels/vector.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/core/arena.h"
#include "kernels/core/prefetch.h"
#include "kernels/vector/code_tile.h"
#include "kernels/vector/coded_vectors.h"
#include "kernels/vector/select_largest.h"

namespace tutti {

// One thread's, for one block of queries after another.
class CodeBlock {
 public:
  static constexpr std::int32_t kPass = CodedVectors::kNever / 2;  // no product outweighs it

  // Of a query's product with a vector's prefix and the vector's bias (CodedVectors), a tile gives
  // value = start + product - bias. `bias` says which one that is.
  enum class Bias { half_square, estimate };
  explicit CodeBlock(Bias bias) : bias_(bias) {}

  // Vectors' codes, and the numbers of up to kCodeTileQueries queries. Both outlive their use.
  void begin(const CodedVectors& codes, const QueryCodes& queries,
             std::span<const std::int32_t> numbers) {
    codes_ = &codes;
    present_ = static_cast<int>(numbers.size());
    prefixes_.fill(queries.prefix(numbers.front()));
    starts_.fill(-kPass);  // behind the last, nothing comes of a tile's values
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      prefixes_[i] = queries.prefix(numbers[i]);
      rests_[i] = queries.rest(numbers[i]);
    }
  }

  // Has ready what begin() will want of these queries.
  static void prefetch(const QueryCodes& queries, std::span<const std::int32_t> numbers) {
    for (const std::int32_t number : numbers) {
      tutti::prefetch(queries.prefix(number), queries.row_bytes());
      tutti::prefetch(&queries.queries[static_cast<std::size_t>(number)],
                      sizeof(QueryCodes::Query));
    }
  }

  int present() const { return present_; }
  // Sets the start of query i of the block, rounded towards zero, and returns it: at most kPass,
  // with which all vectors pass, and at least -kPass, with which none does.
  std::int32_t set_start(int i, double start) {
    const double within = std::min(std::max(start, double(-kPass)), double(kPass));
    return starts_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(within);
  }

  // Computes the tiles of groups [group, end), and hands take(first group, groups, queries) those
  // in which any value is not negative: a bit a query. Values and marks are theirs.
  template <class Take>
  void sweep(std::int64_t group, std::int64_t end, Take&& take) {
    for (; group < end; group += kCodeTileGroups) {
      const std::int64_t groups = std::min<std::int64_t>(kCodeTileGroups, end - group);
      const CodeTileTask tile{
          codes_->group(group),
          prefixes_.data(),
          codes_->steps(),
          bias_ == Bias::estimate ? codes_->estimates(group) : codes_->half_squares(group),
          starts_.data(),
          values_.data(),
          kCodeTileVectors,
          marks_.data()};
      // A loose vector's value is not negative for a query that is not there, either.
      const unsigned queries = kernels_.tile[groups - 1](tile) & ((1u << present_) - 1);
      if (queries != 0) take(group, groups, queries);
    }
  }
  const std::int32_t* values(int i) const { return values_.data() + i * kCodeTileVectors; }

  // Finds the pairs of groups [group, end) whose values are not negative.
  void find_pairs(std::int64_t group, std::int64_t end) {
    make_room(static_cast<std::size_t>(present_ * (end - group) * CodedVectors::kLanes));
    const std::int64_t rest_bytes = codes_->rest_bytes();
    std::size_t count = 0;
    sweep(group, end, [&](std::int64_t first, std::int64_t, unsigned queries) {
      const auto vector = static_cast<std::int32_t>(first * CodedVectors::kLanes);
      for (; queries != 0; queries &= queries - 1) {
        const int i = std::countr_zero(queries);
        const std::int32_t* values = this->values(i);
        for (std::uint64_t left = marks_[static_cast<std::size_t>(i)]; left != 0;
             left &= left - 1, ++count) {
          const int lane = std::countr_zero(left);
          places_[count] = vector + lane;
          pair_values_[count] = values[lane];
          pair_queries_[count] = static_cast<std::uint8_t>(i);
          tutti::prefetch(codes_->rest(vector + lane), rest_bytes);
        }
      }
    });
    pairs_ = count;
  }

  // The pairs found last: vectors by their places in all groups, queries by theirs in the block,
  // and values. A query's vectors ascend.
  std::span<const std::int32_t> places() const { return std::span(places_).first(pairs_); }
  std::span<const std::uint8_t> pair_queries() const {
    return std::span(pair_queries_).first(pairs_);
  }
  std::span<const std::int32_t> pair_values() const {
    return std::span(pair_values_).first(pairs_);
  }

  // Computes the values of the `count` vectors from `group` on, whatever they are, for
  // pair_largest().
  void compute_values(std::int64_t group, std::int64_t count) {
    first_vector_ = static_cast<std::int32_t>(group * CodedVectors::kLanes);
    value_count_ = static_cast<std::size_t>(count);
    all_values_.assign(kCodeTileQueries * value_count_, CodedVectors::kAlways);
    sweep(group, group + CodedVectors::groups_of(count),
          [&](std::int64_t first, std::int64_t groups, unsigned) {
            const std::int64_t at = (first - group) * CodedVectors::kLanes;
            const std::int64_t size = std::min(groups * CodedVectors::kLanes, count - at);
            for (int i = 0; i < present_; ++i)
              std::copy_n(values(i), size, all_values_.data() + i * count + at);
          });
  }
  // Makes pairs of query i and those of these vectors that have the `wanted` largest values, or
  // all.
  void pair_largest(int i, std::size_t wanted) {
    const auto values =
        std::span(all_values_).subspan(static_cast<std::size_t>(i) * value_count_, value_count_);
    const std::span largest = largest_.select(values, std::min(values.size(), wanted));
    make_room(largest.size());
    pairs_ = largest.size();
    for (std::size_t p = 0; p < pairs_; ++p) {
      places_[p] = first_vector_ + largest[p];
      pair_values_[p] = values[static_cast<std::size_t>(largest[p])];
      pair_queries_[p] = static_cast<std::uint8_t>(i);
    }
  }

  // Products of the rests of the pairs found last; until the next call.
  std::span<const std::int32_t> rest_products() {
    products_.resize(std::max(products_.size(), pairs_));
    const std::int64_t bytes = codes_->rest_bytes();
    if (bytes > 0)
      kernels_.products(codes_->rest(0), rests_.data(), bytes, {places(), pair_queries_.data()},
                        products_.data());
    else
      std::fill_n(products_.begin(), pairs_, 0);
    return std::span(products_).first(pairs_);
  }

 private:
  void make_room(std::size_t pairs) {
    if (places_.size() >= pairs) return;
    places_.resize(pairs);
    pair_values_.resize(pairs);
    pair_queries_.resize(pairs);
  }

  const CodeKernels& kernels_ = *available_code_kernels().front();
  Bias bias_;
  const CodedVectors* codes_ = nullptr;
  int present_ = 0;
  std::array<const std::int8_t*, kCodeTileQueries> prefixes_{}, rests_{};
  std::array<std::int32_t, kCodeTileQueries> starts_{};
  std::array<std::uint64_t, kCodeTileQueries> marks_{};
  AlignedBuffer<std::int32_t> values_{kCodeTileQueries * kCodeTileVectors};
  std::vector<std::int32_t> places_, pair_values_;
  std::vector<std::uint8_t> pair_queries_;
  std::size_t pairs_ = 0;
  std::vector<std::int32_t> products_;
  std::vector<std::int32_t> all_values_;  // [queries of the block][vectors], of compute_values()
  std::int32_t first_vector_ = 0;
  std::size_t value_count_ = 0;
  LargestValues largest_;
};

}  // namespace tutti
