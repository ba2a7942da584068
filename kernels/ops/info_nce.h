// The contrastive loss InfoNCE (van den Oord et al., 2018) over a batch of G pairs, in pieces:
//
//   s_ij = scale q_i . p_j,   loss_i = log sum_j exp(s_ij) - s_ii,   loss = sum_i loss_i / G.
//
// A piece of m queries meets all G passages, and a piece of m passages all G queries, so pieces can
// be shared out over ranks: the bits of a piece's results do not depend on who computes it. Always
// in f32.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <tuple>

#include "kernels/core/arena.h"
#include "kernels/core/scratch.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/product.h"

namespace tutti {

class InfoNce {
 public:
  explicit InfoNce(ProductBackend backend = ProductBackend::automatic);

  // For queries [m, d], the rows from `first` on of the batch, and all passages [G, d]:
  // log sum_j exp(s_ij) -> log_sum_exp (m), loss_i -> losses (m), d loss / d q_i -> d_queries.
  // Parallel. Throws std::invalid_argument where shapes differ or `first` + m exceeds G.
  void query_pass(MatrixView<const float> queries, MatrixView<const float> passages, float scale,
                  std::int64_t first, std::span<float> log_sum_exp, std::span<float> losses,
                  MatrixView<float> d_queries);

  // For passages [m, d], the rows from `first` on of the batch, all queries [G, d] and their
  // log_sum_exp (G): d loss / d p_j -> d_passages. Parallel.
  void passage_pass(MatrixView<const float> passages, MatrixView<const float> queries, float scale,
                    std::int64_t first, std::span<const float> log_sum_exp,
                    MatrixView<float> d_passages);

 private:
  const Product& plan(const ProductShape& shape);
  MatrixView<float> scores(MatrixView<const float> piece, MatrixView<const float> all);
  void weighted_sum(MatrixView<const float> weights, MatrixView<const float> all,
                    MatrixView<float> out);

  using Key = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                         std::int64_t, std::int64_t, std::int64_t>;
  ProductBackend backend_;
  std::map<Key, std::unique_ptr<Product>> plans_;
  AlignedBuffer<float> scores_;
  ThreadScratch scratch_;
};

namespace reference {

// The whole batch of G = `count` pairs of size `dim`. Returns the loss.
template <class Real>
Real info_nce(const Real* queries, const Real* passages, int count, int dim, Real scale,
              Real* d_queries, Real* d_passages);

}  // namespace reference
}  // namespace tutti
