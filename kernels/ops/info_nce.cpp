#include "kernels/ops/info_nce.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/ops/info_nce_cpu.h"

namespace tutti {
namespace {

// Scores are computed for this many columns at a time, gradients for this many of their own.
constexpr std::int64_t kScorePanel = 256;
constexpr std::int64_t kGradientPanel = 32;

void check(MatrixView<const float> piece, MatrixView<const float> all, MatrixView<float> gradient,
           std::int64_t first) {
  if (piece.cols != all.cols || gradient.cols != all.cols || gradient.rows != piece.rows ||
      piece.rows < 1 || first < 0 || first + piece.rows > all.rows)
    throw std::invalid_argument("info_nce: shapes differ");
}

std::int64_t panels(std::int64_t extent, std::int64_t panel) {
  return (extent + panel - 1) / panel;
}

}  // namespace

InfoNce::InfoNce(ProductBackend backend) : backend_(backend), scratch_(1) {}

const Product& InfoNce::plan(const ProductShape& s) {
  std::unique_ptr<Product>& plan =
      plans_[{s.m, s.n, s.k, s.a.row, s.a.col, s.b.row, s.b.col, s.c.row}];
  if (!plan) plan = make_product(s, backend_);
  return *plan;
}

// piece all^T, [m, G], in scores_.
MatrixView<float> InfoNce::scores(MatrixView<const float> piece, MatrixView<const float> all) {
  scores_.grow(piece.rows * all.rows);
  const MatrixView<float> out(scores_.data(), piece.rows, all.rows);
  const auto shape = [&](std::int64_t cols) {
    return ProductShape{.m = piece.rows,
                        .n = cols,
                        .k = all.cols,
                        .a = {0, piece.stride, 1},
                        .b = {0, 1, all.stride},
                        .c = {0, out.stride, 1}};
  };
  const std::int64_t count = panels(all.rows, kScorePanel);
  const std::int64_t tail = all.rows - (count - 1) * kScorePanel;
  const Product& last = plan(shape(tail));
  const Product& full = count > 1 ? plan(shape(kScorePanel)) : last;
  scratch_.prepare();
  parallel_for(count, [&](std::int64_t i) {
    const Product& product = i + 1 == count ? last : full;
    product.run(piece.data, all.row(i * kScorePanel), out.data + i * kScorePanel,
                scratch_.get<std::byte>(0, product.scratch_bytes()));
  });
  return out;
}

// weights [m, G] times all [G, d] -> out.
void InfoNce::weighted_sum(MatrixView<const float> weights, MatrixView<const float> all,
                           MatrixView<float> out) {
  const auto shape = [&](std::int64_t cols) {
    return ProductShape{.m = weights.rows,
                        .n = cols,
                        .k = all.rows,
                        .a = {0, weights.stride, 1},
                        .b = {0, all.stride, 1},
                        .c = {0, out.stride, 1}};
  };
  const std::int64_t count = panels(all.cols, kGradientPanel);
  const std::int64_t tail = all.cols - (count - 1) * kGradientPanel;
  const Product& last = plan(shape(tail));
  const Product& full = count > 1 ? plan(shape(kGradientPanel)) : last;
  scratch_.prepare();
  parallel_for(count, [&](std::int64_t i) {
    const Product& product = i + 1 == count ? last : full;
    product.run(weights.data, all.data + i * kGradientPanel, out.data + i * kGradientPanel,
                scratch_.get<std::byte>(0, product.scratch_bytes()));
  });
}

void InfoNce::query_pass(MatrixView<const float> queries, MatrixView<const float> passages,
                         float scale, std::int64_t first, std::span<float> log_sum_exp,
                         std::span<float> losses, MatrixView<float> d_queries) {
  check(queries, passages, d_queries, first);
  const auto count = static_cast<std::size_t>(queries.rows);
  if (log_sum_exp.size() != count || losses.size() != count)
    throw std::invalid_argument("info_nce: one element a query is needed");
  const MatrixView<float> s = scores(queries, passages);
  const float factor = scale / static_cast<float>(passages.rows);
  parallel_for(queries.rows, [&](std::int64_t i) {
    const float own = scale * s(i, first + i);
    log_sum_exp[i] = cpu::log_sum_exp(s.row(i), s.cols, scale);
    losses[i] = log_sum_exp[i] - own;
    cpu::exp_row(s.row(i), s.cols, scale, log_sum_exp[i], factor);
    s(i, first + i) -= factor;
  });
  weighted_sum(s, passages, d_queries);
}

void InfoNce::passage_pass(MatrixView<const float> passages, MatrixView<const float> queries,
                           float scale, std::int64_t first, std::span<const float> log_sum_exp,
                           MatrixView<float> d_passages) {
  check(passages, queries, d_passages, first);
  if (log_sum_exp.size() != static_cast<std::size_t>(queries.rows))
    throw std::invalid_argument("info_nce: one element a query is needed");
  const MatrixView<float> s = scores(passages, queries);
  const float factor = scale / static_cast<float>(queries.rows);
  parallel_for(passages.rows, [&](std::int64_t j) {
    cpu::exp_row(s.row(j), s.cols, scale, log_sum_exp.data(), factor);
    s(j, first + j) -= factor;
  });
  weighted_sum(s, queries, d_passages);
}

}  // namespace tutti
