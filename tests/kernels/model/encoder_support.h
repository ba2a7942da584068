// What the tests of encoders share.
#pragma once

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/model/encoder.h"
#include "tests/kernels/support.h"

namespace tutti::test {

inline constexpr std::int64_t kEncoderVocabulary = 31;

struct Batch {
  std::vector<std::int32_t> tokens, offsets{0};

  Batch(std::uint64_t seed, const std::vector<int>& lengths,
        std::int64_t vocabulary = kEncoderVocabulary) {
    for (const int length : lengths) {
      for (int i = 0; i < length; ++i)
        tokens.push_back(
            static_cast<std::int32_t>(random_u64(seed, 0, tokens.size()) % vocabulary));
      offsets.push_back(static_cast<std::int32_t>(tokens.size()));
    }
  }
  TokenBatch view() const { return {tokens, offsets}; }
};

// Larger than the initial weights, so that every part of the gradient counts.
inline std::vector<float> lively_parameters(const Encoder& encoder, std::uint64_t seed) {
  std::vector<float> parameters(encoder.layout().padded_size());
  encoder.initialize(parameters, seed);
  for (const Parameter& p : encoder.layout().parameters())
    for (float& value : view_of(p, std::span<float>(parameters)))
      value += static_cast<float>(
          0.2 * random_normal(seed, 99, static_cast<std::uint64_t>(&value - parameters.data())));
  return parameters;
}

inline std::vector<float> embed(Encoder& encoder, const Batch& batch) {
  std::vector<float> embeddings(batch.view().size() * encoder.shape().width);
  encoder.embed(batch.view(), embeddings);
  return embeddings;
}

inline std::vector<float> gradient(Encoder& encoder, const Batch& batch,
                                   const std::vector<float>& d_embeddings) {
  std::vector<float> embeddings(d_embeddings.size());
  std::vector<float> gradients(encoder.layout().padded_size());
  encoder.forward(batch.view(), embeddings);
  encoder.backward(batch.view(), d_embeddings, gradients);
  return gradients;
}

// The whole gradient along random directions, parameter by parameter.
inline void expect_gradient_matches_finite_differences(Encoder& encoder,
                                                       std::vector<float> parameters,
                                                       const Batch& batch) {
  encoder.load_parameters(parameters);
  const auto d = random_values(4, batch.view().size() * encoder.shape().width);
  const auto gradients = gradient(encoder, batch, d);
  const auto loss = [&](const std::vector<float>& at) {
    encoder.load_parameters(at);
    const auto e = embed(encoder, batch);
    double sum = 0;
    for (std::size_t i = 0; i < e.size(); ++i) sum += double(e[i]) * d[i];
    return sum;
  };
  for (const Parameter& p : encoder.layout().parameters()) {
    std::vector<float> above = parameters, below = parameters;
    double slope = 0, norm = 0;
    constexpr float kStep = 2e-3f;
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i) norm += gradients[i] * gradients[i];
    ASSERT_TRUE(std::isfinite(norm)) << p.name;
    norm = std::sqrt(norm);
    for (std::int64_t i = p.offset; i < p.offset + p.size; ++i) {
      // Along the gradient, and across it: a step that a wrong gradient would not predict.
      const double direction = (norm > 0 ? gradients[i] / norm : 0) +
                               random_normal(8, 0, i) / std::sqrt(static_cast<double>(p.size));
      above[i] += static_cast<float>(kStep * direction);
      below[i] -= static_cast<float>(kStep * direction);
      slope += gradients[i] * (double(above[i]) - below[i]);
    }
    EXPECT_NEAR(loss(above) - loss(below), slope, 0.01 * std::abs(slope) + 4e-6) << p.name;
  }
}

}  // namespace tutti::test
