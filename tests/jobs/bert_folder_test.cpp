// Folders of BERT and of sentence-transformers: names against places, and what is refused.
#include <cstring>

#include <gtest/gtest.h>

#include "jobs/encoder_model.h"
#include "jobs/hugging_face_model.h"
#include "jobs/sentence_transformers.h"
#include "runtime/base/error.h"
#include "runtime/data/safetensors_writer.h"
#include "tests/jobs/golden.h"

namespace tutti {
namespace {

using nlohmann::json;

class BertFolder : public ::testing::Test {
 protected:
  BertFolder() : folder_(scratch_.path() / "bert") {
    std::filesystem::copy(testing::golden_folder("bert"), folder_);
    std::filesystem::create_directory(folder_ / "1_Pooling");
  }

  // The tensors under other names; what a name becomes empty for is left out.
  void rename(const std::function<std::string(const std::string&)>& name,
              const std::vector<TensorSpec>& more = {}) {
    const HuggingFaceModel before = open_hugging_face_model(testing::golden_folder("bert"));
    std::vector<TensorSpec> specs;
    std::vector<std::string> from;
    for (const TensorPlace& place : before.places)
      if (!name(place.name).empty()) {
        specs.push_back({name(place.name), DType::f32, place.shape});
        from.push_back(place.name);
      }
    specs.insert(specs.end(), more.begin(), more.end());
    write_safetensors_folder(folder_, specs, 1 << 30, [&](std::size_t i, std::span<float> to) {
      if (i < from.size()) before.tensors.read(from[i], to);
    });
  }
  void set(const char* file, const json& content) {
    testing::write_text(folder_ / file, content.dump());
  }
  void expect_refused(const std::string& named) {
    try {
      open_hugging_face_model(folder_);
      ADD_FAILURE() << named << " was not missed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
  static std::vector<float> arena_of(const HuggingFaceModel& model) {
    std::vector<float> arena(std::size_t(model.layout.padded_size()));
    read_tensors(model.tensors, model.places, model.layout, arena);
    return arena;
  }

  testing::ScratchFolder scratch_{"bert_folder_test"};
  const std::filesystem::path folder_;
};

TEST_F(BertFolder, EveryElementOfEveryParameterHasOnePlace) {
  const HuggingFaceModel model = open_hugging_face_model(folder_);
  std::vector<int> places(std::size_t(model.layout.padded_size()));
  for (const TensorPlace& place : model.places) {
    const Parameter& parameter = model.layout.find(place.parameter);
    for (std::int64_t i = 0; i < model.tensors.find(place.name)->elements(); ++i)
      ++places.at(std::size_t(parameter.offset + place.first + i));
  }
  for (const Parameter& parameter : model.layout.parameters())
    for (std::int64_t i = 0; i < parameter.size; ++i)
      ASSERT_EQ(places[std::size_t(parameter.offset + i)], 1) << parameter.name;
}

TEST_F(BertFolder, PrefixesAndOldNamesOfNormsGiveTheSameModel) {
  const std::vector<float> expected = arena_of(open_hugging_face_model(folder_));
  rename([](std::string name) {
    for (const auto& [now, old] :
         {std::pair{"LayerNorm.weight", "LayerNorm.gamma"}, {"LayerNorm.bias", "LayerNorm.beta"}})
      if (name.ends_with(now)) name.replace(name.size() - std::strlen(now), std::string::npos, old);
    return "bert." + name;
  });
  const HuggingFaceModel model = open_hugging_face_model(folder_);
  EXPECT_EQ(model.record.prefix, "bert.");
  EXPECT_TRUE(model.record.old_norm_names);
  EXPECT_EQ(arena_of(model), expected);
  EXPECT_EQ(to_json(hugging_face_record_of(to_json(model.record), "here")), to_json(model.record));
}

TEST_F(BertFolder, ThePoolerMayBeMissing) {
  rename([](const std::string& name) { return name.starts_with("pooler") ? "" : name; });
  EXPECT_FALSE(open_hugging_face_model(folder_).config.encoder().pooler);
}

TEST_F(BertFolder, HeadsOfTrainingAreLeftOutAndBuffersSkipped) {
  rename([](const std::string& name) { return name; },
         {{"cls.predictions.bias", DType::f32, {96}},
          {"embeddings.position_ids", DType::f32, {1, 64}}});
  EXPECT_EQ(open_hugging_face_model(folder_).left_out,
            (std::vector<std::string>{"cls.predictions.bias"}));
}

TEST_F(BertFolder, TensorsThatAreMissingExtraOrMisshapenAreNamed) {
  rename([](const std::string& name) {
    return name.find("1.attention.self.key.bias") != std::string::npos ? "" : name;
  });
  expect_refused("encoder.layer.1.attention.self.key.bias is missing");
  rename([](const std::string& name) { return name; }, {{"classifier.bias", DType::f32, {2}}});
  expect_refused("classifier.bias");
  rename([](const std::string& name) { return name; });
  json config = json::parse(testing::read_text(folder_ / "config.json"));
  config["type_vocab_size"] = 3;
  set("config.json", config);
  expect_refused("token_type_embeddings.weight: its shape is [2, 16]; expected [3, 16]");
}

TEST_F(BertFolder, ATokenizerWithMoreEntriesThanTheEmbeddingIsRefused) {
  json tokenizer = json::parse(testing::read_text(folder_ / "tokenizer.json"));
  for (int i = 72; i < 97; ++i) tokenizer["model"]["vocab"]["more" + std::to_string(i)] = i;
  set("tokenizer.json", tokenizer);
  expect_refused("97 entries, the model embeds 96");
}

TEST_F(BertFolder, TextsAreFramedAndAsLongAsSentenceTransformersSays) {
  const TokenFrame frame{{2}, {3}};
  const TextForm plain = open_hugging_face_model(folder_).form;
  EXPECT_EQ(plain.longest, 64);
  EXPECT_EQ(plain.frame.front, frame.front);
  EXPECT_EQ(plain.frame.back, frame.back);
  set("tokenizer_config.json", {{"model_max_length", 30}});
  EXPECT_EQ(open_hugging_face_model(folder_).form.longest, 30);
  set("tokenizer_config.json", {{"model_max_length", 1e30}});
  EXPECT_EQ(open_hugging_face_model(folder_).form.longest, 64);
  set("tokenizer_config.json", {{"model_max_length", 30}});
  set("sentence_bert_config.json", {{"max_seq_length", 20}, {"do_lower_case", false}});
  EXPECT_EQ(open_hugging_face_model(folder_).form.longest, 20);
  set("sentence_bert_config.json", {{"max_seq_length", 100}});
  EXPECT_EQ(open_hugging_face_model(folder_).form.longest, 64);
  set("sentence_bert_config.json", {{"max_seq_length", 2}});
  expect_refused("takes them all");
  set("sentence_bert_config.json", {{"do_lower_case", true}});
  expect_refused("do_lower_case");
}

TEST_F(BertFolder, PoolingIsTheMeanOrTheFirstToken) {
  const auto pooling = [&] { return open_hugging_face_model(folder_).config.encoder().pooling; };
  EXPECT_EQ(pooling(), EncoderShape::Pooling::mean);
  set(kSentencePooling, {{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", false}});
  EXPECT_EQ(pooling(), EncoderShape::Pooling::first);
  set(kSentencePooling, {{"pooling_mode_cls_token", true}, {"pooling_mode_mean_tokens", true}});
  expect_refused("several kinds of pooling");
  set(kSentencePooling, {{"pooling_mode_max_tokens", true}});
  expect_refused("max_tokens");
  set(kSentencePooling, {{"pooling_mode", "cls"}});
  EXPECT_EQ(pooling(), EncoderShape::Pooling::first);
  set(kSentencePooling, {{"pooling_mode", "lasttoken"}});
  expect_refused("lasttoken");
  set(kSentencePooling, {{"pooling_mode", {"cls", "mean"}}});
  expect_refused("pooling_mode");
  set(kSentencePooling, {{"word_embedding_dimension", 16}});
  expect_refused("pooling of the kind");
}

TEST_F(BertFolder, OtherModulesAreRefusedByName) {
  const json transformer = {{"type", "sentence_transformers.models.Transformer"}, {"path", ""}},
             pooling = {{"type", "sentence_transformers.models.Pooling"}, {"path", "1_Pooling"}};
  json modules = {transformer, pooling};
  set(kSentenceModules, modules);
  EXPECT_EQ(open_hugging_face_model(folder_).record.files.count(kSentenceModules), 1u);
  modules.push_back({{"type", "sentence_transformers.models.Dense"}, {"path", "2_Dense"}});
  set(kSentenceModules, modules);
  expect_refused("Dense");
  set(kSentenceModules,
      json::array({transformer, {{"type", "Pooling"}, {"path", "../elsewhere"}}}));
  expect_refused("path");
  testing::write_text(folder_ / kSentenceModules, "[");
  expect_refused(kSentenceModules);
}

TEST_F(BertFolder, MetadataComeBack) {
  set("sentence_bert_config.json", {{"max_seq_length", 20}});
  set(kSentencePooling, {{"pooling_mode_cls_token", true}});
  const HuggingFaceModel model = open_hugging_face_model(folder_);
  Manifest manifest;
  manifest.metadata = metadata_of(model);
  manifest.files = {{"model.h5", 1 << 20, 0, std::vector<ExtentRecord>(100)}};
  const EncoderShape shape = encoder_shape_of(manifest, "here");
  EXPECT_EQ(shape, model.config.encoder());
  const TextForm form = text_form_of(manifest, shape, "here");
  EXPECT_EQ(form.longest, 20);
  EXPECT_EQ(form.room(), 18);
  manifest.metadata["text"]["front"] = {96};
  EXPECT_THROW(text_form_of(manifest, shape, "here"), Error);
  manifest.metadata["text"] = {{"longest", 65}, {"front", json::array()}, {"back", json::array()}};
  EXPECT_THROW(text_form_of(manifest, shape, "here"), Error);
  manifest.metadata["shape"]["gelu"] = "approximate";
  EXPECT_THROW(encoder_shape_of(manifest, "here"), Error);
}

}  // namespace
}  // namespace tutti
