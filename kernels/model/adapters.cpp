#include "kernels/model/adapters.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/core/parallel.h"
#include "kernels/core/random.h"

namespace tutti {
namespace {

using Part = AdapterPlaces::Part;

// All that a layer could have, in the order in which its matrices stand.
std::vector<AdapterPlaces> possible_adapters(const TransformerShape& s) {
  const std::int64_t q = s.context_width(), kv = s.kv_heads * s.head_size;
  std::vector<AdapterPlaces> all{{Part::qkv, "qkv", 0, s.qkv_width(), s.width, {}, {}},
                                 {Part::qkv, "query", 0, q, s.width, {}, {}},
                                 {Part::qkv, "key", q, kv, s.width, {}, {}},
                                 {Part::qkv, "value", q + kv, kv, s.width, {}, {}},
                                 {Part::out, "out", 0, s.width, q, {}, {}}};
  if (s.feed_forward_kind == TransformerShape::FeedForward::gelu) {
    all.push_back({Part::ff1, "ff1", 0, s.feed_forward, s.width, {}, {}});
  } else {
    all.push_back({Part::ff1, "gate", 0, s.feed_forward, s.width, {}, {}});
    all.push_back({Part::up, "up", 0, s.feed_forward, s.width, {}, {}});
  }
  all.push_back({Part::ff2, "ff2", 0, s.width, s.feed_forward, {}, {}});
  return all;
}

std::vector<AdapterPlaces> chosen_adapters(const TransformerShape& shape,
                                           const std::vector<std::string>& targets) {
  std::vector<AdapterPlaces> chosen;
  for (const AdapterPlaces& adapter : possible_adapters(shape)) {
    const auto named = std::count(targets.begin(), targets.end(), adapter.name);
    if (named > 1) throw std::invalid_argument("adapters: a target is named twice");
    if (named == 1) chosen.push_back(adapter);
  }
  if (chosen.size() != targets.size() || chosen.empty())
    throw std::invalid_argument("adapters: a target is no matrix of a layer, or there is none");
  if (chosen[0].name == "qkv" && chosen.size() > 1 && chosen[1].part == Part::qkv)
    throw std::invalid_argument("adapters: a target is a part of another");
  return chosen;
}

}  // namespace

Adapters add_adapters(ArenaLayout& layout, const TransformerShape& shape,
                      const AdapterShape& adapter_shape) {
  const std::int64_t rank = adapter_shape.rank;
  if (rank < 1) throw std::invalid_argument("adapters: the rank must be at least one");
  const std::vector<AdapterPlaces> chosen = chosen_adapters(shape, adapter_shape.targets);
  Adapters adapters{adapter_shape, {}};
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    adapters.layers.push_back(chosen);
    for (AdapterPlaces& adapter : adapters.layers.back()) {
      const std::string name = "layer" + std::to_string(l) + "." + adapter.name;
      adapter.a = add_parameter(layout, name + ".a", {rank, adapter.inputs}, true);
      adapter.b = add_parameter(layout, name + ".b", {adapter.outputs, rank}, true);
    }
  }
  return adapters;
}

void initialize_adapters(const ArenaLayout& layout, std::span<float> arena, std::uint64_t seed) {
  if (static_cast<std::int64_t>(arena.size()) != layout.padded_size())
    throw std::invalid_argument("adapters: the arena has the wrong size");
  std::fill(arena.begin(), arena.end(), 0.0f);
  std::uint64_t stream = 0;
  for (const Parameter& parameter : layout.parameters()) {
    const std::uint64_t mine = stream++;
    if (!parameter.name.ends_with(".a")) continue;
    const double bound = 1 / std::sqrt(static_cast<double>(parameter.shape[1]));
    const std::span<float> values = view_of(parameter, arena);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(bound * (2 * random_uniform(seed, mine, i) - 1));
  }
}

void merge_adapters(const Adapters& places, std::span<const float> adapters,
                    const ArenaLayout& layout, std::span<float> parameters) {
  const std::int64_t rank = places.shape.rank;
  const float scale = places.shape.scale();
  for (std::size_t l = 0; l < places.layers.size(); ++l)
    for (const AdapterPlaces& adapter : places.layers[l]) {
      const std::string matrix = adapter.part == Part::qkv ? "qkv" : adapter.name;
      const std::span<float> weights =
          view_of(layout.find("layer" + std::to_string(l) + "." + matrix + ".weight"), parameters);
      parallel_for(adapter.outputs, [&](std::int64_t output) {
        float* row = weights.data() + (adapter.first_output + output) * adapter.inputs;
        for (std::int64_t r = 0; r < rank; ++r) {
          const float* a = adapters.data() + adapter.a.offset + r * adapter.inputs;
          const float b = scale * adapters[adapter.b.offset + output * rank + r];
          for (std::int64_t i = 0; i < adapter.inputs; ++i) row[i] += b * a[i];
        }
      });
    }
}

}  // namespace tutti
