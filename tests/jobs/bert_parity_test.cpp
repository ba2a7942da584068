// Our encoder against BERT of transformers (its version stands in golden.json): tokens, embeddings
// and gradients of a tiny model.
#include <cmath>

#include <gtest/gtest.h>

#include "jobs/hugging_face_model.h"
#include "runtime/data/sequences.h"
#include "runtime/data/tokenizer.h"
#include "tests/jobs/golden.h"

namespace tutti {
namespace {

using nlohmann::json;
using Pooling = EncoderShape::Pooling;

class BertParity : public ::testing::TestWithParam<Pooling> {
 protected:
  BertParity()
      : golden_(testing::golden_numbers("bert")),
        model_(open_hugging_face_model(testing::golden_folder("bert"))),
        encoder_(with_pooling(model_.config.encoder()), DType::f32),
        parameters_(std::size_t(encoder_.layout().padded_size())) {
    read_tensors(model_.tensors, model_.places, encoder_.layout(), parameters_);
    encoder_.load_parameters(parameters_);
    const Tokenizer tokenizer = Tokenizer::from_file(model_.tokenizer);
    for (const json& text : golden_["texts"])
      texts_.add(tokenizer.encode(text.get<std::string>()), model_.form);
  }

  static EncoderShape with_pooling(EncoderShape shape) {
    shape.pooling = GetParam();
    return shape;
  }
  const json& expected() const { return golden_[GetParam() == Pooling::mean ? "mean" : "first"]; }
  TokenBatch batch() const { return {texts_.tokens, texts_.offsets}; }
  static std::vector<float> flat(const json& rows) {
    std::vector<float> values;
    for (const json& row : rows)
      for (const json& value : row) values.push_back(value);
    return values;
  }

  json golden_;
  HuggingFaceModel model_;
  Encoder encoder_;
  std::vector<float> parameters_;
  Sequences texts_;
};

TEST_P(BertParity, Tokens) {
  std::vector<std::int32_t> expected;
  for (const json& text : golden_["tokens"])
    for (const json& token : text) expected.push_back(token);
  EXPECT_EQ(texts_.tokens, expected);
}

TEST_P(BertParity, Embeddings) {
  const std::vector<float> wanted = flat(expected()["embeddings"]);
  std::vector<float> found(wanted.size());
  encoder_.embed(batch(), found);
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    largest = std::max(largest, std::abs(double(wanted[i])));
    error = std::max(error, std::abs(double(found[i]) - double(wanted[i])));
  }
  EXPECT_LT(error, 1e-4 * largest);
  std::printf("embeddings: %.2g of the largest\n", error / largest);
}

// Of the sum of the embeddings times golden weights.
TEST_P(BertParity, Gradients) {
  const std::vector<float> weights = flat(golden_["weights"]);
  std::vector<float> embeddings(weights.size()), gradients(parameters_.size()), tensor;
  encoder_.forward(batch(), embeddings);
  encoder_.backward(batch(), weights, gradients);
  double worst = 0;
  for (const TensorPlace& place : model_.places) {
    const json& wanted = expected()["gradients"].at(place.name);
    tensor.resize(std::size_t(model_.tensors.find(place.name)->elements()));
    copy_tensor(place, encoder_.layout(), gradients, tensor);
    double squares = 0;
    for (const float value : tensor) squares += double(value) * double(value);
    // Of a bias on keys the gradient is zero but for rounding: the softmax does not see it.
    const double norm = wanted["norm"], scale = std::max(norm, 1e-4);
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-3 * scale) << place.name;
    for (std::size_t i = 0; i < wanted["places"].size(); ++i) {
      const double value = tensor[wanted["places"][i].get<std::size_t>()];
      const double error = std::abs(value - wanted["values"][i].get<double>()) / scale;
      EXPECT_LT(error, 1e-3) << place.name;
      worst = std::max(worst, error);
    }
  }
  EXPECT_EQ(model_.places.size(), expected()["gradients"].size());
  std::printf("gradients: %.2g of the tensor's norm\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Pooling, BertParity, ::testing::Values(Pooling::mean, Pooling::first),
                         [](const auto& test) {
                           return std::string(test.param == Pooling::mean ? "mean" : "first");
                         });

}  // namespace
}  // namespace tutti
