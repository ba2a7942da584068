#include "jobs/contrastive_step.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/info_nce.h"
#include "runtime/base/check.h"

namespace tutti {
namespace {

TokenBatch batch_of(const Sequences& sequences) { return {sequences.tokens, sequences.offsets}; }

MatrixView<float> rows_of(std::vector<float>& matrix, std::int64_t first, std::int64_t count,
                          std::int64_t width) {
  return {matrix.data() + first * width, count, width, width};
}

MatrixView<const float> const_rows_of(const std::vector<float>& matrix, std::int64_t first,
                                      std::int64_t count, std::int64_t width) {
  return {matrix.data() + first * width, count, width, width};
}

}  // namespace

ContrastiveTrainer::ContrastiveTrainer(Comm& comm, Encoder& encoder, ShardedOptimizer& optimizer,
                                       const ContrastiveOptions& options, PhaseTimer& phases)
    : comm_(comm),
      encoder_(encoder),
      optimizer_(optimizer),
      options_(options),
      phases_(phases),
      leaves_(optimizer.my_leaves()),
      queries_(std::size_t(options.global_batch * encoder.shape().width)),
      passages_(queries_.size()),
      query_gradients_(std::size_t(leaves_.size() * options.micro_batch * encoder.shape().width)),
      passage_gradients_(query_gradients_.size()) {
  CHECK(options.global_batch == options.micro_batch * optimizer.leaves());
}

StepResult ContrastiveTrainer::step(std::span<const Sequences> micro_batches, std::int64_t step,
                                    double learning_rate) {
  CHECK(std::int64_t(micro_batches.size()) == leaves_.size());
  StepResult result;
  for (const Sequences& s : micro_batches) result.tokens += std::int64_t(s.tokens.size());
  result.tokens = comm_.all_reduce_sum(result.tokens);
  embed_all(micro_batches);
  result.loss = losses_and_gradients();
  backward_all(micro_batches);
  result.gradient_norm = optimizer_.reduce();
  result.applied = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!result.applied) return result;
  optimizer_.update(step, learning_rate);
  const auto timed = phases_.measure("optimizer");
  encoder_.load_parameters(optimizer_.parameters());
  return result;
}

void ContrastiveTrainer::embed_all(std::span<const Sequences> micro_batches) {
  const std::int64_t width = encoder_.shape().width, m = options_.micro_batch;
  {
    const auto timed = phases_.measure("forward");
    std::vector<float> both(std::size_t(2 * m * width));
    for (std::size_t i = 0; i < micro_batches.size(); ++i) {
      encoder_.embed(batch_of(micro_batches[i]), both);
      const std::int64_t first = (leaves_.begin + std::int64_t(i)) * m * width;
      std::copy_n(both.data(), m * width, queries_.data() + first);
      std::copy_n(both.data() + m * width, m * width, passages_.data() + first);
    }
  }
  const auto timed = phases_.measure("reduce");
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < comm_.size(); ++r)
    bytes.push_back(part_of(leaves(), comm_.size(), r).size() * m * width *
                    std::int64_t(sizeof(float)));
  for (std::vector<float>* all : {&queries_, &passages_})
    comm_.all_gather_bytes(std::as_bytes(std::span(all->data() + leaves_.begin * m * width,
                                                   std::size_t(leaves_.size() * m * width))),
                           std::as_writable_bytes(std::span(*all)), bytes);
}

double ContrastiveTrainer::losses_and_gradients() {
  const std::int64_t width = encoder_.shape().width, m = options_.micro_batch,
                     all = options_.global_batch;
  const float scale = 1 / options_.temperature;
  const std::size_t mine = std::size_t(leaves_.size() * m);
  std::vector<float> log_sum_exp(mine), losses(mine);
  std::vector<double> leaf_losses;
  InfoNce loss;
  {
    const auto timed = phases_.measure("loss");
    for (std::int64_t i = 0; i < leaves_.size(); ++i) {
      const std::span<float> row_losses =
          std::span(losses).subspan(std::size_t(i * m), std::size_t(m));
      const std::int64_t first = (leaves_.begin + i) * m;
      loss.query_pass(const_rows_of(queries_, first, m, width),
                      const_rows_of(passages_, 0, all, width), scale, first,
                      std::span(log_sum_exp).subspan(std::size_t(i * m), std::size_t(m)),
                      row_losses, rows_of(query_gradients_, i * m, m, width));
      double sum = 0;
      for (float value : row_losses) sum += double(value);
      leaf_losses.push_back(sum);
    }
  }
  std::vector<float> all_log_sum_exp;
  double total = 0;
  {
    const auto timed = phases_.measure("reduce");
    all_log_sum_exp = comm_.all_gather(std::span<const float>(log_sum_exp));
    total = tree_sum(comm_, leaf_losses, leaves());
  }
  const auto timed = phases_.measure("loss");
  for (std::int64_t i = 0; i < leaves_.size(); ++i) {
    const std::int64_t first = (leaves_.begin + i) * m;
    loss.passage_pass(const_rows_of(passages_, first, m, width),
                      const_rows_of(queries_, 0, all, width), scale, first, all_log_sum_exp,
                      rows_of(passage_gradients_, i * m, m, width));
  }
  return total / double(all);
}

void ContrastiveTrainer::backward_all(std::span<const Sequences> micro_batches) {
  const std::int64_t width = encoder_.shape().width, m = options_.micro_batch;
  std::vector<float> both(std::size_t(2 * m * width)), gradients(both.size());
  for (std::size_t i = 0; i < micro_batches.size(); ++i) {
    const TokenBatch batch = batch_of(micro_batches[i]);
    {
      const auto timed = phases_.measure("forward");
      encoder_.forward(batch, both);
    }
    const auto timed = phases_.measure("backward");
    std::copy_n(query_gradients_.data() + std::int64_t(i) * m * width, m * width, gradients.data());
    std::copy_n(passage_gradients_.data() + std::int64_t(i) * m * width, m * width,
                gradients.data() + m * width);
    const std::span<float> leaf = optimizer_.next_leaf();
    encoder_.backward(batch, gradients, leaf, optimizer_.on_final());
    optimizer_.push_leaf();
  }
}

}  // namespace tutti
