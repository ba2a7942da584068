// Folders of transformers: names against places in the arena, and folders that are not whole.
#include "jobs/hugging_face_model.h"

#include <gtest/gtest.h>

#include "jobs/hugging_face_names.h"
#include "runtime/base/error.h"
#include "runtime/data/safetensors_writer.h"
#include "tests/jobs/golden.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::golden_folder;

class HuggingFaceFolder : public ::testing::Test {
 protected:
  // A copy that may be spoilt.
  std::filesystem::path copy(const std::string& name) {
    const auto folder = scratch_.path() / name;
    std::filesystem::remove_all(folder);
    std::filesystem::copy(golden_folder(name), folder);
    return folder;
  }
  // The tensors of a folder with one change, in its files' place.
  static void rewrite(const std::filesystem::path& folder,
                      const std::function<void(std::vector<TensorSpec>&)>& change) {
    std::vector<TensorSpec> specs;
    std::map<std::string, std::vector<float>> values;
    {
      const SafetensorsFolder tensors(folder);
      for (const TensorEntry* tensor : tensors.tensors()) {
        specs.push_back({tensor->name, float_type_of(tensor->dtype), tensor->shape});
        values[tensor->name].resize(std::size_t(tensor->elements()));
        tensors.read(tensor->name, values[tensor->name]);
      }
    }
    change(specs);
    write_safetensors_folder(folder, specs, 1 << 30, [&](std::size_t i, std::span<float> to) {
      const auto& from = values[specs[i].name];
      for (std::size_t e = 0; e < to.size(); ++e) to[e] = e < from.size() ? from[e] : 0;
    });
  }
  static void expect_refused(const std::filesystem::path& folder, const std::string& named) {
    try {
      const HuggingFaceModel model = open_hugging_face_model(folder);
      std::vector<float> arena(std::size_t(model.layout.padded_size()));
      read_tensors(model.tensors, model.places, model.layout, arena);
      ADD_FAILURE() << named << " was not missed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }

  testing::ScratchFolder scratch_{"hugging_face_model_test"};
};

TEST_F(HuggingFaceFolder, EveryElementOfEveryParameterHasOnePlace) {
  for (const std::string& name : testing::golden_names()) {
    const HuggingFaceModel model = open_hugging_face_model(golden_folder(name));
    std::vector<float> arena(std::size_t(model.layout.padded_size()));
    std::vector<int> places(arena.size());
    for (const TensorPlace& place : model.places) {
      const Parameter& parameter = model.layout.find(place.parameter);
      for (std::int64_t i = 0; i < model.tensors.find(place.name)->elements(); ++i)
        ++places.at(std::size_t(parameter.offset + place.first + i));
    }
    for (const Parameter& parameter : model.layout.parameters())
      for (std::int64_t i = 0; i < parameter.size; ++i)
        ASSERT_EQ(places[std::size_t(parameter.offset + i)], 1) << name << " " << parameter.name;
  }
}

TEST_F(HuggingFaceFolder, QueriesKeysAndValuesAreStackedAndGpt2IsTransposed) {
  const HuggingFaceModel llama = open_hugging_face_model(golden_folder("llama"));
  std::vector<float> arena(std::size_t(llama.layout.padded_size())), v(8 * 16);
  read_tensors(llama.tensors, llama.places, llama.layout, arena);
  llama.tensors.read("model.layers.1.self_attn.v_proj.weight", v);
  const auto qkv = view_of(llama.layout.find("layer1.qkv.weight"), std::span<float>(arena));
  for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(qkv[(16 + 8) * 16 + i], v[i]);

  const HuggingFaceModel gpt2 = open_hugging_face_model(golden_folder("gpt2"));
  arena.assign(std::size_t(gpt2.layout.padded_size()), 0);
  read_tensors(gpt2.tensors, gpt2.places, gpt2.layout, arena);
  std::vector<float> theirs(16 * 48);
  gpt2.tensors.read("transformer.h.0.attn.c_attn.weight", theirs);
  const auto ours = view_of(gpt2.layout.find("layer0.qkv.weight"), std::span<float>(arena));
  for (std::size_t in = 0; in < 16; ++in)
    for (std::size_t out = 0; out < 48; ++out)
      EXPECT_EQ(ours[out * 16 + in], theirs[in * 48 + out]);
}

TEST_F(HuggingFaceFolder, TensorsThatAreMissingExtraOrMisshapenAreNamed) {
  const auto folder = copy("gpt2");
  rewrite(folder, [](auto& specs) { specs.erase(specs.begin() + 3); });
  expect_refused(folder, "model.safetensors: tensor transformer.h.0.attn.c_proj.weight is missing");
  rewrite(copy("gpt2"), [](auto& specs) {
    specs.push_back({"transformer.h.7.extra", DType::f32, {2}});
  });
  expect_refused(folder, "transformer.h.7.extra");
  rewrite(copy("gpt2"), [](auto& specs) {
    for (TensorSpec& spec : specs)
      if (spec.name == "transformer.wpe.weight") spec.shape = {65, 16};
  });
  expect_refused(folder, "transformer.wpe.weight: its shape is [65, 16]; expected [64, 16]");
}

TEST_F(HuggingFaceFolder, ConstantsOfTheOriginalCodeAreSkipped) {
  const auto folder = copy("gpt2");
  rewrite(folder, [](auto& specs) {
    specs.push_back({"transformer.h.0.attn.bias", DType::f32, {1, 1, 4, 4}});
    specs.push_back({"transformer.h.0.attn.masked_bias", DType::f32, {}});
  });
  EXPECT_EQ(open_hugging_face_model(folder).places.size(), 28u);
}

TEST_F(HuggingFaceFolder, FilesOfTheBareBodyHaveNoPrefix) {
  const auto folder = copy("gpt2");
  std::vector<TensorSpec> specs;
  const HuggingFaceModel before = open_hugging_face_model(golden_folder("gpt2"));
  for (const TensorPlace& place : before.places)
    specs.push_back({place.name.substr(12), DType::f32, place.shape});
  write_safetensors_folder(folder, specs, 1 << 30, [&](std::size_t i, std::span<float> to) {
    before.tensors.read(before.places[i].name, to);
  });
  const HuggingFaceModel bare = open_hugging_face_model(folder);
  EXPECT_EQ(bare.record.prefix, "");
  EXPECT_EQ(bare.places[0].name, "wte.weight");
}

TEST_F(HuggingFaceFolder, AStoredHeadThatIsTiedMustBeTheEmbedding) {
  const auto folder = copy("qwen2");
  std::vector<float> embedding(96 * 16);
  const HuggingFaceModel before = open_hugging_face_model(golden_folder("qwen2"));
  before.tensors.read("model.embed_tokens.weight", embedding);
  for (const bool same : {true, false}) {
    std::vector<TensorSpec> specs{{"lm_head.weight", DType::bf16, {96, 16}}};
    for (const TensorPlace& place : before.places)
      specs.push_back({place.name, DType::bf16, place.shape});
    write_safetensors_folder(folder, specs, 1 << 30, [&](std::size_t i, std::span<float> to) {
      if (i > 0) return before.tensors.read(specs[i].name, to);
      std::copy(embedding.begin(), embedding.end(), to.begin());
      if (!same) to[5] += 1;
    });
    if (!same) return expect_refused(folder, "lm_head.weight");
    const HuggingFaceModel model = open_hugging_face_model(folder);
    EXPECT_TRUE(model.record.stored_head);
    std::vector<float> arena(std::size_t(model.layout.padded_size()));
    read_tensors(model.tensors, model.places, model.layout, arena);
  }
}

TEST_F(HuggingFaceFolder, TypesThatAreMixedAreKeptForEachTensor) {
  const auto folder = copy("mistral");
  rewrite(folder, [](auto& specs) {
    for (TensorSpec& spec : specs)
      if (spec.shape.size() == 2) spec.dtype = DType::bf16;
  });
  const HuggingFaceRecord record = open_hugging_face_model(folder).record;
  EXPECT_EQ(record.dtype, DType::bf16);
  EXPECT_EQ(record.dtype_of_tensor("model.norm.weight"), DType::f32);
  EXPECT_EQ(record.dtype_of_tensor("lm_head.weight"), DType::bf16);
  const HuggingFaceRecord again = hugging_face_record_of(to_json(record), "here");
  EXPECT_EQ(to_json(again), to_json(record));
}

TEST_F(HuggingFaceFolder, ARecordThatNamesOtherFilesIsRefused) {
  json record = to_json(open_hugging_face_model(golden_folder("gpt2")).record);
  record["files"]["../outside"] = "text";
  EXPECT_THROW(hugging_face_record_of(record, "here"), Error);
  EXPECT_THROW(hugging_face_record_of(json::object(), "here"), Error);
}

TEST_F(HuggingFaceFolder, FilesThatAreMissingOrWrongAreNamed) {
  for (const char* file : {"config.json", "tokenizer.json", "model-00002-of-00002.safetensors"}) {
    const auto folder = copy("llama");
    std::filesystem::remove(folder / file);
    expect_refused(folder, file);
  }
  const auto folder = copy("llama");
  testing::write_text(folder / "generation_config.json", "\"\xff\"");
  expect_refused(folder, "generation_config.json");
  json config = json::parse(testing::read_text(golden_folder("llama") / "config.json"));
  config["num_hidden_layers"] = 2000000000;
  testing::write_text(copy("llama") / "config.json", config.dump());
  expect_refused(folder, "2000000000 layers");
  config["num_hidden_layers"] = 2;
  config["vocab_size"] = 97;
  testing::write_text(folder / "config.json", config.dump());
  expect_refused(folder, "model.embed_tokens.weight");
}

TEST_F(HuggingFaceFolder, ATokenizerWithMoreEntriesThanTheEmbeddingIsRefused) {
  json config = json::parse(testing::read_text(golden_folder("mistral") / "config.json"));
  config["vocab_size"] = 20;
  const auto folder = copy("mistral");
  rewrite(folder, [](auto& specs) {
    for (TensorSpec& spec : specs)
      if (spec.shape[0] == 96) spec.shape[0] = 20;
  });
  testing::write_text(folder / "config.json", config.dump());
  expect_refused(folder, "entries, the model embeds 20");
}

}  // namespace
}  // namespace tutti
