// The k nearest of a stream of candidates, in an order that leaves nothing open.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace tutti {

// A candidate, or the lack of one. The default is the padding that stands where fewer than k were
// found: id -1, distance +infinity.
struct Neighbor {
  float distance = std::numeric_limits<float>::infinity();
  std::int64_t id = -1;

  friend bool operator==(const Neighbor&, const Neighbor&) = default;
};

// The strict total order of neighbours: by distance, then by id. Ids are at least zero; padding
// comes after everything, an infinite distance included.
inline bool precedes(const Neighbor& a, const Neighbor& b) {
  if (a.distance != b.distance) return a.distance < b.distance;
  return static_cast<std::uint64_t>(a.id) < static_cast<std::uint64_t>(b.id);
}

// Keeps the k first of all candidates pushed. Since the order is total, what it keeps depends
// neither on the order of the pushes nor on how they were shared between accumulators that are
// merged later. A NaN distance never enters.
class TopK {
 public:
  // A k that is none: with a bound (tighten), everything within it is kept.
  static constexpr std::int64_t kAll = std::int64_t{1} << 60;

  // Throws std::invalid_argument for k below one.
  explicit TopK(std::int64_t k);

  std::int64_t k() const { return k_; }

  // No candidate farther than this can be among the k; one at exactly this distance may be.
  float threshold() const { return threshold_; }

  // Forgets everything. `bound` is a distance that the caller knows no wanted candidate to exceed.
  void reset(float bound = std::numeric_limits<float>::infinity());

  // The caller knows no wanted candidate to be farther than `bound`.
  void tighten(float bound) { threshold_ = bound < threshold_ ? bound : threshold_; }

  // Takes `candidate` into account. Padding (id -1) is ignored.
  void push(const Neighbor& candidate) {
    if (!(candidate.distance <= threshold_) || candidate.id < 0) return;
    kept_.push_back(candidate);
    if (static_cast<std::int64_t>(kept_.size()) >= room_) shrink();
  }

  // Pushes everything that `other` keeps.
  void merge(const TopK& other);

  // Writes the neighbours kept, nearest first, and padding behind them. Throws
  // std::invalid_argument unless `out` has k places.
  void write_sorted(std::span<Neighbor> out) const;
  // The neighbours kept, nearest first, without padding.
  std::vector<Neighbor> sorted() const;

 private:
  void shrink();

  std::int64_t k_;
  std::int64_t room_;  // the number of candidates at which to drop all but k
  float threshold_ = std::numeric_limits<float>::infinity();
  std::vector<Neighbor> kept_;
};

// The first out.size() of two sorted lists, either of which may end in padding; `out` is padded.
// Associative and commutative: any tree over the same lists gives the same bytes. `out` overlaps
// neither input.
void merge_sorted(std::span<const Neighbor> a, std::span<const Neighbor> b,
                  std::span<Neighbor> out);

}  // namespace tutti
