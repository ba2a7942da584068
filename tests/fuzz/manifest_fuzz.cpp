// An artefact's manifest and the file records in it, as JSON. What is taken is consistent, and
// survives being written.
#include "runtime/data/manifest.h"
#include "runtime/data/segments.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

using nlohmann::json;

void check_record(const FileRecord& record) {
  std::int64_t covered = 0;
  for (const ExtentRecord& extent : record.extents) {
    CHECK(extent.bytes >= 0 && extent.offset <= record.bytes - extent.bytes);
    covered += extent.bytes;
  }
  for (const FileSpan& span : header_spans(record)) {
    CHECK(span.bytes > 0);
    covered += span.bytes;
  }
  CHECK(covered == record.bytes);
  CHECK(file_record_from_json(to_json(record), "there") == record);
}

void check(const Manifest& manifest) {
  for (const FileRecord& file : manifest.files) CHECK(manifest.find_file(file.name) == &file);
  for (const TableEntry& table : manifest.tables)
    CHECK(table.rows() >= 0 && !table.schema.name.empty());
  CHECK(manifest_from_json(to_json(manifest), "there") == manifest);
  fuzz::accepts([&] {
    std::int64_t shards = 0;
    for (const Segment& segment : segments_of(manifest)) {
      CHECK(segment.shards.begin == shards && segment.shards.size() >= 0);
      shards = segment.shards.end;
    }
    CHECK(shards == manifest.shards());
  });
}

// With the digest of its own files, behind which no fuzzer gets by itself.
json with_digest(json value) {
  std::vector<FileRecord> files;
  if (value.is_object() && value.contains("files"))
    for (const json& file : value["files"])
      fuzz::accepts([&] { check_record(files.emplace_back(file_record_from_json(file, "here"))); });
  if (value.is_object()) value["digest"] = artefact_digest(files);
  return value;
}

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const auto value = nlohmann::json::parse(fuzz::text_of(data, size), nullptr, false);
  fuzz::accepts([&] { check(manifest_from_json(value, "here")); });
  fuzz::accepts([&] { check(manifest_from_json(with_digest(value), "here")); });
  return 0;
}
