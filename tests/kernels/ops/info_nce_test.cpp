#include "kernels/ops/info_nce.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/kernels/support.h"

namespace tutti {
namespace {

using test::random_values;

TEST(InfoNceReference, ByHand) {
  // Orthogonal pairs: each query scores 1 with its own passage and 0 with the other.
  const double q[4] = {1, 0, 0, 1};
  double d_q[4], d_p[4];
  EXPECT_NEAR(reference::info_nce(q, q, 2, 2, 1.0, d_q, d_p), std::log(1 + std::exp(-1.0)), 1e-12);
}

TEST(InfoNceReference, GradientMatchesFiniteDifferences) {
  constexpr int kCount = 4, kDim = 3, kSize = kCount * kDim;
  const auto both = test::to_doubles(random_values(1, 2 * kSize));
  std::vector<double> d(2 * kSize), unused(2 * kSize);
  reference::info_nce(&both[0], &both[kSize], kCount, kDim, 2.0, &d[0], &d[kSize]);
  const auto slopes = test::finite_differences(both, [&](const auto& at) {
    return reference::info_nce(&at[0], &at[kSize], kCount, kDim, 2.0, &unused[0], &unused[kSize]);
  });
  test::expect_near(d, slopes, 1e-8);
}

struct Result {
  double loss = 0;
  std::vector<float> gradients;  // of queries, then of passages
};

// The batch in pieces of `piece` pairs.
Result run(std::int64_t count, std::int64_t dim, std::int64_t piece, float scale,
           ProductBackend backend = ProductBackend::automatic) {
  const auto q = random_values(1, count * dim, 0.3), p = random_values(2, count * dim, 0.3);
  Result result{0, std::vector<float>(2 * count * dim)};
  std::vector<float> log_sum_exp(count), losses(count);
  const MatrixView<const float> all_q(q.data(), count, dim), all_p(p.data(), count, dim);
  const MatrixView<float> d_q(result.gradients.data(), count, dim);
  const MatrixView<float> d_p(result.gradients.data() + count * dim, count, dim);
  InfoNce loss(backend);
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::int64_t m = std::min(piece, count - first);
    loss.query_pass(all_q.row_range(first, m), all_p, scale, first,
                    std::span(log_sum_exp).subspan(first, m), std::span(losses).subspan(first, m),
                    d_q.row_range(first, m));
  }
  for (std::int64_t first = 0; first < count; first += piece) {
    const std::int64_t m = std::min(piece, count - first);
    loss.passage_pass(all_p.row_range(first, m), all_q, scale, first, log_sum_exp,
                      d_p.row_range(first, m));
  }
  for (const float one : losses) result.loss += one / static_cast<double>(count);
  return result;
}

TEST(InfoNce, MatchesTheReferenceInPieces) {
  for (const auto& [count, dim, piece] :
       {std::tuple{1, 4, 1}, {7, 5, 3}, {64, 48, 16}, {300, 70, 64}}) {
    const auto q = test::to_doubles(random_values(1, count * dim, 0.3));
    const auto p = test::to_doubles(random_values(2, count * dim, 0.3));
    std::vector<double> d(2 * count * dim);
    const double loss =
        reference::info_nce(q.data(), p.data(), count, dim, 5.0, d.data(), d.data() + count * dim);
    for (const auto backend : {ProductBackend::reference, ProductBackend::onednn,
                               ProductBackend::openblas, ProductBackend::automatic}) {
      const Result result = run(count, dim, piece, 5.0f, backend);
      EXPECT_NEAR(result.loss, loss, 1e-5);
      test::expect_near(result.gradients, d, 1e-6, 1e-4);
    }
  }
}

TEST(InfoNce, BytesDoNotDependOnThreads) {
  test::expect_same_bytes_for_any_threads([] { return run(300, 70, 64, 5.0f).gradients; });
}

TEST(InfoNce, RejectsMisuse) {
  std::vector<float> a(12), one(3);
  InfoNce loss;
  const MatrixView<float> piece(a.data(), 2, 3), all(a.data(), 4, 3);
  EXPECT_THROW(
      loss.query_pass(piece, all, 1, 3, std::span(one).first(2), std::span(one).first(2), piece),
      std::invalid_argument);
  EXPECT_THROW(loss.query_pass(piece, all, 1, 0, one, std::span(one).first(2), piece),
               std::invalid_argument);
  EXPECT_THROW(loss.passage_pass(piece, all, 1, 0, one, piece), std::invalid_argument);
}

}  // namespace
}  // namespace tutti
