#include "jobs/checkpoint_conversion.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "jobs/trained_model.h"
#include "kernels/core/arena.h"
#include "runtime/base/log.h"
#include "runtime/checkpoint/generation_reader.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

using nlohmann::json;

// Collective, as every rank comes to the same conclusion from the same manifest.
[[noreturn]] void refuse(const std::string& problem, const CheckpointManifest& manifest,
                         const std::string& fix) {
  throw Error(ExitCode::data, problem, fmt::format("checkpoint generation {}", manifest.generation),
              fix)
      .as_agreed();
}

struct SavedModel {
  TrainedModel model;
  json metadata;
};

SavedModel model_of(const CheckpointManifest& manifest) {
  const json& state = manifest.state;
  const std::string place = fmt::format("checkpoint generation {}", manifest.generation);
  if (state.contains("iteration"))
    refuse("it is of index, which computes centroids (k-means): it holds no model", manifest,
           "convert a checkpoint of train");
  if (!state.contains("model"))
    refuse("it does not say which model it holds: an older version of Tutti wrote it", manifest,
           "submit the training again: its next checkpoint says it");
  try {
    std::int64_t elements = 0;
    for (const CheckpointArray& array : manifest.arrays)
      if (array.name == state["model"].value("array", "") && array.dtype == DType::f32)
        elements = array.size;
    SavedModel saved{trained_model_from_json(state["model"], elements, place), {}};
    saved.metadata = model_metadata_of(state.at("identity").at("model"), saved.model.about,
                                       integer_of(state.at("step")));
    if (saved.model.layout.padded_size() == elements && saved.metadata.is_object()) return saved;
  } catch (const json::exception&) {
  } catch (const Error& error) {
    throw error.as_agreed();
  }
  refuse("it does not describe a model that it holds", manifest, "");
}

// Where the tokenizer is: the one that the model was trained with, byte for byte.
std::filesystem::path local_tokenizer(const TrainedModel& model, const CheckpointRequest& request) {
  std::filesystem::path file = request.tokenizer;
  if (file.empty())
    file = (request.dataset.empty() ? model.dataset : request.dataset) / kTokenizerFile;
  if (!std::filesystem::exists(file))
    throw Error(ExitCode::data, "the training's tokenizer is not there", file.string(),
                "say where it is now: --dataset DIR or --tokenizer FILE");
  if (record_plain_file(file).header_crc32c != model.tokenizer.header_crc32c)
    throw Error(ExitCode::data, "it is another tokenizer than the model was trained with",
                file.string(), "give the one of the training's dataset");
  return file;
}

// What stands in the way of a model is not overwritten by it.
void local_check_target(const CheckpointRequest& request) {
  std::error_code none;
  if (std::filesystem::equivalent(request.out, request.run, none))
    throw Error(ExitCode::usage, "the run's own folder is its job's", request.out.string(),
                "give another folder for the model");
  if (!std::filesystem::exists(request.out / kManifestFile)) return;
  try {
    (void)load_manifest(request.out, kModelKind);
  } catch (const Error& error) {
    throw Error(ExitCode::usage, "the folder holds something else than a model",
                request.out.string(), "give another folder for the model");
  }
}

// The root's arena, filled; that of the others stays empty.
AlignedBuffer<float> read_parameters(Comm& comm, const CheckpointLevels& levels,
                                     const CheckpointManifest& manifest,
                                     const TrainedModel& model) {
  AlignedBuffer<float> arena;
  std::vector<ArraySlice> wanted;
  const std::int64_t size = model.layout.padded_size();
  if (comm.is_root()) {
    arena.grow(size);
    wanted.push_back(slice_of(model.array, size, {0, size}, arena.span()));
  }
  GenerationReader(comm, levels, manifest).fill(wanted);
  return arena;
}

void write_model(Comm& comm, const SavedModel& saved, std::span<const float> parameters,
                 const std::filesystem::path& tokenizer, std::int64_t generation,
                 const std::filesystem::path& out) {
  const Manifest model =
      save_model(comm, out, saved.model.layout, parameters, tokenizer, saved.metadata);
  if (!comm.is_root()) return;
  fmt::print("{}: model {} of checkpoint generation {}, step {}\n", out.string(), model.digest,
             generation, saved.metadata.at("steps").dump());
  std::fflush(stdout);
}

}  // namespace

void convert_checkpoint(Comm& comm, const CheckpointLevels& levels,
                        const CheckpointRequest& request) {
  std::vector<std::int64_t> generations = levels.committed();
  if (request.generation) generations = {*request.generation};
  for (const std::int64_t generation : generations) {
    // Whether a step found no damage; there must be another generation to go on with.
    const auto holds = [&](const auto& step) {
      try {
        step();
        return true;
      } catch (const Error& error) {
        if (error.code() != ExitCode::data || generation == generations.back()) throw;
        if (comm.is_root())
          log_warning("checkpoint generation {} is damaged; taking the one before: {}", generation,
                      error.what());
        return false;
      }
    };
    CheckpointManifest manifest;
    if (!holds([&] { manifest = levels.read_manifest(generation); })) continue;
    const SavedModel saved = model_of(manifest);
    std::filesystem::path tokenizer;
    comm.attempt([&] {
      if (!comm.is_root()) return;
      local_check_target(request);
      tokenizer = local_tokenizer(saved.model, request);
    });
    AlignedBuffer<float> parameters;
    if (!holds([&] { parameters = read_parameters(comm, levels, manifest, saved.model); }))
      continue;
    return write_model(comm, saved, parameters.span(), tokenizer, generation, request.out);
  }
  throw Error(ExitCode::data, "there is no checkpoint", request.run.string(),
              "give the folder of a run that has left one")
      .as_agreed();
}

}  // namespace tutti
