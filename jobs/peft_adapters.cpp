#include "jobs/peft_adapters.h"

#include <algorithm>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/data/model_file.h"
#include "runtime/data/safetensors_writer.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

struct Module {
  const char *target, *path;  // ours, and theirs within a layer
};

bool is_gpt2(const DecoderShape& shape) { return shape.body.learned_positions; }

std::vector<Module> modules_of(const DecoderShape& shape) {
  if (is_gpt2(shape))
    return {
        {"qkv", "attn.c_attn"}, {"out", "attn.c_proj"}, {"ff1", "mlp.c_fc"}, {"ff2", "mlp.c_proj"}};
  return {{"query", "self_attn.q_proj"}, {"key", "self_attn.k_proj"}, {"value", "self_attn.v_proj"},
          {"out", "self_attn.o_proj"},   {"gate", "mlp.gate_proj"},   {"up", "mlp.up_proj"},
          {"ff2", "mlp.down_proj"}};
}

bool matches(const std::string& path, const std::string& name) {
  return path == name || path.ends_with("." + name);
}

[[noreturn]] void refuse(const std::string& name, const std::vector<Module>& modules) {
  std::string known;
  for (const Module& module : modules)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", module.path);
  throw Error(ExitCode::usage, fmt::format("no linear module of a layer is called \"{}\"", name),
              "lora.modules", "the model has " + known);
}

std::string path_of(const DecoderShape& shape, const std::string& target) {
  for (const Module& module : modules_of(shape))
    if (module.target == target) return module.path;
  return target;
}

nlohmann::json config_of(const DecoderSource& source) {
  std::vector<std::string> modules;
  for (const std::string& target : source.adapters->targets)
    modules.push_back(path_of(source.shape, target));
  return {{"peft_type", "LORA"},
          {"task_type", "CAUSAL_LM"},
          {"base_model_name_or_path", source.base_folder.filename().string()},
          {"r", source.adapters->rank},
          {"lora_alpha", source.adapters->alpha},
          {"lora_dropout", 0.0},
          {"bias", "none"},
          {"fan_in_fan_out", is_gpt2(source.shape)},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"target_modules", modules}};
}

// "layer3.query.a" of ours.
std::string tensor_name(const DecoderShape& shape, const std::string& parameter) {
  const std::size_t dot = parameter.find('.'), last = parameter.rfind('.');
  const std::string layer = parameter.substr(5, dot - 5),
                    target = parameter.substr(dot + 1, last - dot - 1);
  return fmt::format("base_model.model.{}.{}.{}.lora_{}.weight",
                     is_gpt2(shape) ? "transformer.h" : "model.layers", layer,
                     path_of(shape, target), parameter.ends_with(".a") ? "A" : "B");
}

}  // namespace

AdapterShape adapters_for(const DecoderShape& shape, std::int64_t rank, double alpha,
                          const std::vector<std::string>& modules) {
  AdapterShape adapters{rank, float(alpha), {}};
  const std::vector<Module> all = modules_of(shape);
  for (const std::string& name : modules)
    if (std::none_of(all.begin(), all.end(),
                     [&](const Module& m) { return matches(m.path, name); }))
      refuse(name, all);
  for (const Module& module : all)
    if (modules.empty() ||
        std::any_of(modules.begin(), modules.end(),
                    [&](const std::string& name) { return matches(module.path, name); }))
      adapters.targets.emplace_back(module.target);
  return adapters;
}

std::int64_t write_peft_adapters(const std::filesystem::path& folder, const DecoderSource& source) {
  ArenaLayout layout;
  add_adapters(layout, source.shape.body, *source.adapters);
  AlignedBuffer<float> values(layout.padded_size());
  load_parameters(source.folder, source.manifest, layout, values.span());
  std::vector<TensorSpec> tensors;
  for (const Parameter& p : layout.parameters())
    tensors.push_back({tensor_name(source.shape, p.name), DType::f32, p.shape});
  write_safetensors(folder / "adapter_model.safetensors", tensors,
                    [&](std::size_t index, std::span<float> to) {
                      const auto from = view_of(layout.parameters()[index], values.span());
                      std::copy(from.begin(), from.end(), to.begin());
                    });
  atomic_replace(folder / "adapter_config.json", config_of(source).dump(2) + "\n");
  return std::ssize(tensors);
}

}  // namespace tutti
