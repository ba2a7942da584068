#include "runtime/data/model_file.h"

#include <numeric>

#include <gtest/gtest.h>

#include "runtime/data/paths.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"

namespace tutti {
namespace {

using testing::world;

ArenaLayout layout_of(std::int64_t rows) {
  ArenaLayout layout;
  layout.add("embedding", {rows, 3}, true);
  layout.add("norm.weight", {5}, false);
  return layout;
}

TEST(ModelFile, WhatIsSavedIsLoadedAndOtherShapesAreRefused) {
  testing::ScratchFolder scratch("model_file");
  const std::filesystem::path folder = world().broadcast_string(scratch.path().string());
  if (world().is_root()) testing::write_text(folder / "source.model", "a tokenizer");
  world().barrier();
  const ArenaLayout layout = layout_of(7);
  AlignedBuffer<float> saved(layout.padded_size()), loaded(layout.padded_size());
  for (const Parameter& p : layout.parameters()) {
    const auto view = view_of(p, saved.span());
    std::iota(view.begin(), view.end(), float(p.offset));
  }
  const Manifest manifest = save_model(world(), folder / "model", layout, saved.span(),
                                       folder / "source.model", {{"shape", 7}});
  EXPECT_EQ(manifest.kind, kModelKind);
  EXPECT_EQ(load_manifest(folder / "model", kModelKind).digest, manifest.digest);
  load_parameters(folder / "model", manifest, layout, loaded.span());
  EXPECT_TRUE(std::equal(saved.begin(), saved.end(), loaded.begin()));
  EXPECT_THROW(load_parameters(folder / "model", manifest, layout_of(8), loaded.span()), Error);
  ArenaLayout more = layout_of(7);
  more.add("head", {2}, true);
  AlignedBuffer<float> larger(more.padded_size());
  EXPECT_THROW(load_parameters(folder / "model", manifest, more, larger.span()), Error);
  world().barrier();
}

}  // namespace
}  // namespace tutti
