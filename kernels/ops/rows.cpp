#include "kernels/ops/rows.h"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "kernels/core/parallel.h"
#include "kernels/ops/rows_cpu.h"

namespace tutti {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(what);
}

// Columns of a target that one task adds up.
constexpr std::int64_t kColumnPanel = 256;

// rows[0] = the tree sum of the rows: neighbours first, then pairs of neighbours, and so on.
void tree_sum(MatrixView<float> rows) {
  for (std::int64_t step = 1; step < rows.rows; step *= 2)
    for (std::int64_t r = 0; r + step < rows.rows; r += 2 * step)
      cpu::accumulate_row(rows.row(r + step), rows.cols, rows.row(r));
}

// The rows of a scatter, grouped by target: rows order[begin[t]] ... order[begin[t + 1]] go to t.
struct Groups {
  std::vector<std::int32_t> begin;
  std::vector<std::int32_t> order;
};

Groups group_rows(std::span<const std::int32_t> index, std::int64_t targets) {
  Groups groups{std::vector<std::int32_t>(targets + 1), std::vector<std::int32_t>(index.size())};
  for (const std::int32_t target : index) {
    require(target >= 0 && target < targets, "scatter: an index is out of range");
    ++groups.begin[target + 1];
  }
  for (std::int64_t t = 0; t < targets; ++t) groups.begin[t + 1] += groups.begin[t];
  std::vector<std::int32_t> next(groups.begin.begin(), groups.begin.end() - 1);
  for (std::size_t i = 0; i < index.size(); ++i)
    groups.order[next[index[i]]++] = static_cast<std::int32_t>(i);
  return groups;
}

}  // namespace

template <class T>
void add_bias(MatrixView<const float> product, const float* bias, MatrixView<T> out) {
  require(product.rows == out.rows && product.cols == out.cols, "add_bias: shapes differ");
  for (std::int64_t r = 0; r < product.rows; ++r)
    cpu::add_rows(product.row(r), bias, product.cols, out.row(r));
}

void add_rows(MatrixView<const float> x, MatrixView<float> to) {
  require(x.rows == to.rows && x.cols == to.cols, "add_rows: shapes differ");
  for (std::int64_t r = 0; r < x.rows; ++r) cpu::accumulate_row(x.row(r), x.cols, to.row(r));
}

template <class T>
void column_sums(MatrixView<const T> x, float* sums) {
  std::fill_n(sums, x.cols, 0.0f);
  for (std::int64_t r = 0; r < x.rows; ++r) cpu::accumulate_row(x.row(r), x.cols, sums);
}

void add_partial_sums(MatrixView<float> partials, std::span<const SumTarget> targets) {
  struct Task {
    std::int64_t column, size;
    float* total;
  };
  std::vector<Task> tasks;
  for (const SumTarget& target : targets) {
    require(target.first >= 0 && target.first + target.size <= partials.cols,
            "add_partial_sums: a target exceeds the partial sums");
    for (std::int64_t c = 0; c < target.size; c += kColumnPanel)
      tasks.push_back(
          {target.first + c, std::min(kColumnPanel, target.size - c), target.total + c});
  }
  parallel_for(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i) {
    const Task& task = tasks[i];
    const MatrixView<float> columns(partials.data + task.column, partials.rows, task.size,
                                    partials.stride);
    tree_sum(columns);
    cpu::accumulate_row(columns.row(0), task.size, task.total);
  });
}

void scatter_add_rows(std::span<const std::int32_t> index, MatrixView<const float> from,
                      MatrixView<float> to) {
  require(from.cols == to.cols && from.rows == static_cast<std::int64_t>(index.size()),
          "scatter: shapes differ");
  const Groups groups = group_rows(index, to.rows);
  constexpr std::int64_t kTargetsPerTask = 16;
  const std::int64_t tasks = (to.rows + kTargetsPerTask - 1) / kTargetsPerTask;
  parallel_for_dynamic(tasks, [&](std::int64_t task) {
    const std::int64_t end = std::min(to.rows, (task + 1) * kTargetsPerTask);
    for (std::int64_t t = task * kTargetsPerTask; t < end; ++t)
      for (std::int32_t i = groups.begin[t]; i < groups.begin[t + 1]; ++i)
        cpu::accumulate_row(from.row(groups.order[i]), to.cols, to.row(t));
  });
}

template void add_bias(MatrixView<const float>, const float*, MatrixView<float>);
template void add_bias(MatrixView<const float>, const float*, MatrixView<bf16>);
template void column_sums(MatrixView<const float>, float*);
template void column_sums(MatrixView<const bf16>, float*);

}  // namespace tutti
