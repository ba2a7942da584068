#include "jobs/decoder_source.h"

#include <stdexcept>

#include "jobs/decoder_model.h"
#include "runtime/base/error.h"
#include "runtime/data/model_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/json_integer.h"

namespace tutti {
namespace {

AdapterShape adapters_of(const nlohmann::json& m) {
  AdapterShape adapters;
  adapters.rank = integer_of(m.at("rank"));
  adapters.alpha = m.at("alpha").get<float>();
  adapters.targets = m.at("targets").get<std::vector<std::string>>();
  return adapters;
}

// No memory is taken for adapters that the model's file is too small to hold.
void check_size(const DecoderSource& source) {
  const FileRecord* file = source.manifest.find_file(kModelFile);
  ArenaLayout layout;
  if (file && source.adapters->rank <= file->bytes)
    add_adapters(layout, source.shape.body, *source.adapters);
  if (layout.parameters().empty() ||
      4 * layout.used_size() >
          file->bytes + 4 * kParameterAlignment * std::int64_t(file->extents.size()))
    throw std::invalid_argument("adapters: the file cannot hold them");
}

std::filesystem::path find_base(const std::filesystem::path& folder, const std::string& recorded) {
  const std::filesystem::path there(recorded);
  if (std::filesystem::exists(there / kManifestFile)) return there;
  const auto beside = std::filesystem::absolute(folder).parent_path() / there.filename();
  if (std::filesystem::exists(beside / kManifestFile)) return beside;
  throw Error(ExitCode::data, "the adapters' base model is not where it was, " + recorded,
              folder.string(), "put it there, or beside the adapters' folder");
}

void open_adapters(DecoderSource& source) {
  const std::string place = (source.folder / kManifestFile).string();
  try {
    const nlohmann::json& m = source.manifest.metadata.at(kAdaptersKey);
    source.adapters = adapters_of(m);
    source.base_folder = find_base(source.folder, m.at("base_folder"));
    source.base = load_manifest(source.base_folder, kModelKind);
    if (source.base.digest != m.at("base_digest"))
      throw Error(ExitCode::data, "the adapters belong to another base model",
                  source.base_folder.string(), "give back the model that they were trained on");
    source.shape = decoder_shape_of(source.base, source.base_folder.string());
    return check_size(source);
  } catch (const nlohmann::json::exception&) {
  } catch (const std::invalid_argument&) {
  }
  throw Error(ExitCode::data, "the manifest does not describe adapters that its file holds", place,
              "copy the model again");
}

}  // namespace

nlohmann::json adapters_metadata(const AdapterShape& adapters, const Manifest& base) {
  return {{"rank", adapters.rank},
          {"alpha", adapters.alpha},
          {"targets", adapters.targets},
          {"base_digest", base.digest}};
}

DecoderSource open_decoder(const std::filesystem::path& folder) {
  DecoderSource source;
  source.folder = source.base_folder = folder;
  source.manifest = load_manifest(folder, kModelKind);
  if (source.manifest.metadata.contains(kAdaptersKey)) {
    open_adapters(source);
    return source;
  }
  source.base = source.manifest;
  source.shape = decoder_shape_of(source.manifest, (folder / kManifestFile).string());
  return source;
}

void load_decoder_parameters(const DecoderSource& source, std::span<float> parameters) {
  load_parameters(source.base_folder, source.base, decoder_layout(source.shape), parameters);
  if (!source.adapters) return;
  ArenaLayout layout;
  const Adapters adapters = add_adapters(layout, source.shape.body, *source.adapters);
  AlignedBuffer<float> values(layout.padded_size());
  load_parameters(source.folder, source.manifest, layout, values.span());
  merge_adapters(adapters, values.span(), decoder_layout(source.shape), parameters);
}

void load_frozen_parameters(const DecoderSource& source, Decoder& decoder) {
  load_each_parameter(source.base_folder, source.base, decoder_layout(source.shape),
                      [&](const Parameter& parameter, std::span<const float> values) {
                        decoder.load_frozen(parameter.name, values);
                      });
}

}  // namespace tutti
