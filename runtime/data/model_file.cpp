#include "runtime/data/model_file.h"

#include "runtime/data/commit.h"
#include "runtime/data/paths.h"
#include "runtime/io/extent_file.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

std::string dataset_of(const Parameter& parameter) { return "/parameters/" + parameter.name; }

FileRecord write_parameters(const std::filesystem::path& file, const ArenaLayout& layout,
                            std::span<const float> parameters) {
  std::vector<ColumnSpec> columns;
  for (const Parameter& p : layout.parameters())
    columns.push_back({dataset_of(p), DType::f32, p.shape, {}});
  ExtentWriter writer(file, columns);
  for (std::size_t i = 0; i < columns.size(); ++i)
    writer.write_all(i, std::as_bytes(view_of(layout.parameters()[i], parameters)));
  return writer.finish();
}

class ParameterReader {
 public:
  ParameterReader(const std::filesystem::path& folder, const Manifest& manifest)
      : place_((folder / kModelFile).string()),
        record_(manifest.find_file(kModelFile)),
        reader_(folder / kModelFile, record()) {}

  void read(const Parameter& p, std::span<float> values) const {
    const int column = record_->find(dataset_of(p));
    if (column < 0) throw Error(ExitCode::data, "parameter " + p.name + " is missing", place_);
    if (record_->extents[std::size_t(column)].shape != p.shape)
      throw Error(ExitCode::data, "parameter " + p.name + " has another shape than the model",
                  place_);
    reader_.read(std::size_t(column), 0, values);
  }

 private:
  const FileRecord& record() const {
    if (!record_) throw Error(ExitCode::data, "the manifest lists no model file", place_);
    return *record_;
  }

  std::string place_;
  const FileRecord* record_;
  ExtentReader reader_;
};

}  // namespace

Manifest save_model(Comm& comm, const std::filesystem::path& folder, const ArenaLayout& layout,
                    std::span<const float> parameters, const std::filesystem::path& tokenizer,
                    const nlohmann::json& metadata) {
  begin_artefact(comm, folder);
  ArtefactParts mine;
  comm.attempt([&] {
    if (!comm.is_root()) return;
    mine.files.push_back(write_parameters(folder / kModelFile, layout, parameters));
    atomic_replace(folder / kTokenizerFile, read_file(tokenizer));
    mine.files.push_back(record_plain_file(folder / kTokenizerFile));
  });
  return commit_artefact(comm, folder, {kModelKind, {}, metadata}, mine);
}

void load_parameters(const std::filesystem::path& folder, const Manifest& manifest,
                     const ArenaLayout& layout, std::span<float> parameters) {
  const ParameterReader reader(folder, manifest);
  for (const Parameter& p : layout.parameters()) reader.read(p, view_of(p, parameters));
}

void load_each_parameter(
    const std::filesystem::path& folder, const Manifest& manifest, const ArenaLayout& layout,
    const std::function<void(const Parameter& parameter, std::span<const float> values)>& visit) {
  const ParameterReader reader(folder, manifest);
  for (const Parameter& p : layout.parameters()) {
    AlignedBuffer<float> values(p.size);
    reader.read(p, values.span());
    visit(p, values.span());
  }
}

Tokenizer load_tokenizer(const std::filesystem::path& folder, const Manifest& manifest) {
  const std::filesystem::path file = folder / kTokenizerFile;
  const FileRecord* record = manifest.find_file(kTokenizerFile);
  if (!record) throw Error(ExitCode::data, "the manifest lists no tokenizer", file.string());
  ExtentReader(file, *record).verify_all();
  return Tokenizer::from_file(file);
}

}  // namespace tutti
