// Our decoder against transformers (its version stands in each golden.json): logits, gradients, and
// the losses of ten steps of AdamW, of tiny models of every family.
#include <cmath>

#include <gtest/gtest.h>

#include "jobs/hugging_face_model.h"
#include "kernels/optim/adamw.h"
#include "tests/jobs/golden.h"

namespace tutti {
namespace {

using nlohmann::json;

class HuggingFaceParity : public ::testing::TestWithParam<std::string> {
 protected:
  HuggingFaceParity()
      : golden_(testing::golden_numbers(GetParam())),
        model_(open_hugging_face_model(testing::golden_folder(GetParam()))),
        decoder_(model_.config.decoder(), DType::f32),
        parameters_(std::size_t(decoder_.layout().padded_size())) {
    read_tensors(model_.tensors, model_.places, decoder_.layout(), parameters_);
    decoder_.load_parameters(parameters_);
    for (const char* key : {"tokens", "targets"})
      for (const json& sequence : golden_[key])
        for (const json& token : sequence) (key[1] == 'o' ? tokens_ : targets_).push_back(token);
    for (std::size_t s = 0; s <= golden_["tokens"].size(); ++s)
      offsets_.push_back(std::int32_t(s * golden_["tokens"][0].size()));
  }

  TokenBatch batch() const { return {tokens_, offsets_}; }
  // The mean over the tokens; its gradient is `gradients` divided by their number.
  double loss_and_gradient(std::span<float> gradients) {
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    decoder_.forward(batch());
    return decoder_.backward(batch(), targets_, gradients) / double(tokens_.size());
  }

  json golden_;
  HuggingFaceModel model_;
  Decoder decoder_;
  std::vector<float> parameters_;
  std::vector<std::int32_t> tokens_, targets_, offsets_;
};

TEST_P(HuggingFaceParity, Logits) {
  std::vector<float> logits(tokens_.size() * std::size_t(model_.config.decoder().body.vocabulary));
  decoder_.logits(batch(), logits);
  const auto expected = golden_["logits"].get<std::vector<double>>();
  ASSERT_EQ(logits.size(), expected.size());
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    error = std::max(error, std::abs(double(logits[i]) - expected[i]));
  }
  EXPECT_LT(error, 1e-4 * largest);
  RecordProperty("relative_error", std::to_string(error / largest));
  std::printf("logits: %.2g of the largest\n", error / largest);
}

TEST_P(HuggingFaceParity, Gradients) {
  std::vector<float> gradients(parameters_.size()), tensor;
  loss_and_gradient(gradients);
  std::size_t compared = 0;
  double worst = 0;
  for (const TensorPlace& place : model_.places) {
    ASSERT_TRUE(golden_["gradients"].contains(place.name)) << place.name;
    const json& expected = golden_["gradients"][place.name];
    tensor.resize(std::size_t(model_.tensors.find(place.name)->elements()));
    copy_tensor(place, decoder_.layout(), gradients, tensor);
    double squares = 0;
    for (float& value : tensor) {
      value /= float(tokens_.size());
      squares += double(value) * double(value);
    }
    // Of a bias on keys the gradient is zero but for rounding: the softmax does not see it.
    const double norm = expected["norm"], scale = std::max(norm, 1e-5);
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-3 * scale) << place.name;
    for (std::size_t i = 0; i < expected["places"].size(); ++i) {
      const double value = tensor[expected["places"][i].get<std::size_t>()];
      const double error = std::abs(value - expected["values"][i].get<double>()) / scale;
      EXPECT_LT(error, 1e-3) << place.name;
      worst = std::max(worst, error);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 5 * golden_["gradients"].size());
  std::printf("gradients: %.2g of the tensor's norm\n", worst);
}

TEST_P(HuggingFaceParity, LossesOfTenSteps) {
  const json& settings = golden_["adamw"];
  const AdamWOptions options{settings["lr"], settings["betas"][0], settings["betas"][1],
                             settings["eps"], settings["weight_decay"]};
  std::vector<float> gradients(parameters_.size()), first(parameters_.size()),
      second(parameters_.size());
  double worst = 0;
  std::int64_t step = 0;
  for (const json& expected : golden_["losses"]) {
    const double loss = loss_and_gradient(gradients);
    EXPECT_NEAR(loss, expected.get<double>(), 1e-4 * loss) << "step " << step;
    worst = std::max(worst, std::abs(loss - expected.get<double>()) / loss);
    adamw_update(decoder_.layout(), options, ++step, 1.0f / float(tokens_.size()),
                 {0, parameters_, gradients, first, second});
    decoder_.load_parameters(parameters_);
  }
  EXPECT_EQ(step, 10);
  std::printf("losses of ten steps: %.2g\n", worst);
}

INSTANTIATE_TEST_SUITE_P(Families, HuggingFaceParity, ::testing::ValuesIn(testing::golden_names()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace tutti
