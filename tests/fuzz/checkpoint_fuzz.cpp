// A checkpoint generation's manifest, as JSON: what is taken says where every element of every
// array is.
#include "runtime/checkpoint/manifest.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

void check(const CheckpointManifest& manifest) {
  for (const CheckpointArray& array : manifest.arrays) {
    std::int64_t covered = 0;
    for (const CheckpointPart& part : manifest.parts)
      for (const CheckpointSlice& slice : part.slices) {
        const ExtentRecord& extent = part.file.extents.at(std::size_t(slice.extent));
        CHECK(slice.range.begin >= 0 && extent.elements() == slice.range.size());
        if (slice.array == array.name) covered += slice.range.size();
      }
    CHECK(covered == array.size);
  }
  CHECK(manifest.state.is_object());
}

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const auto value = nlohmann::json::parse(fuzz::text_of(data, size), nullptr, false);
  fuzz::accepts([&] { check(checkpoint_manifest_from_json(value, "here")); });
  return 0;
}
