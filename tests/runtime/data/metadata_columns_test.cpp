// Metadata from JSONL through the shards of an artefact to what a filter takes.
#include "runtime/data/metadata_columns.h"

#include <cmath>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/data/commit.h"
#include "runtime/data/filter.h"
#include "runtime/data/paths.h"
#include "runtime/data/vector_sharder.h"
#include "runtime/io/file.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

// Rows 0 to 9; row 4 is bad as a vector, row 6 as metadata.
void write_input(const std::filesystem::path& folder) {
  const std::uint32_t header[2] = {10, 2};
  std::string bytes(reinterpret_cast<const char*>(header), 8), lines;
  for (int row = 0; row < 10; ++row) {
    const float vector[2] = {row == 4 ? NAN : float(row), 1};
    bytes.append(reinterpret_cast<const char*>(vector), sizeof(vector));
    const std::string n = std::to_string(row);
    lines += row == 6 ? "{}\n"
             : row == 8
                 ? "{\"key\": \"k8\"}\n"
                 : "{\"key\": \"k" + n + "\", \"n\": " + n + ", \"x\": " + n + ".5, \"c\": \"c" +
                       std::to_string(row % 3) + "\", \"t\": [\"z\", \"a\", \"z\"" +
                       (row % 2 ? ", \"odd\"" : "") + "]}\n";
  }
  testing::write_text(folder / "v.fbin", bytes);
  testing::write_text(folder / "m.jsonl", lines);
}

const MetadataFields kFields{{{"n", MetadataType::integer},
                              {"x", MetadataType::real},
                              {"c", MetadataType::category},
                              {"t", MetadataType::tags}},
                             "key",
                             ExternalIdType::text};

// The artefact in `out`, of this many shards; `change` may spoil its file of columns.
Manifest make(const std::filesystem::path& folder, const MetadataFields& fields,
              std::int64_t shards, const std::string& columns = "") {
  if (world().is_root()) write_input(folder);
  world().barrier();
  const auto out = folder / "out";
  const VectorInput vectors(find_input({(folder / "v.fbin").string()}, "auto"), "train");
  const MetadataInput metadata(world(), find_input({(folder / "m.jsonl").string()}, "jsonl"),
                               {fields, 4096, true}, vectors.rows());
  begin_artefact(world(), out);
  ArtefactParts parts;
  const Range mine = part_of(shards, world().size(), world().rank());
  for (std::int64_t shard = mine.begin; shard < mine.end; ++shard) {
    VectorSharder sharder(out, shard, shards, vectors, true, &metadata);
    while (sharder.read()) sharder.write();
    parts.shards.push_back(sharder.finish());
  }
  if (world().is_root()) {
    atomic_replace(out / kColumnsFile,
                   columns.empty() ? columns_text(metadata.columns()) : columns);
    parts.files.push_back(record_plain_file(out / kColumnsFile));
  }
  return commit_artefact(world(), out, {kVectorsKind, vector_tables(vectors, &metadata)}, parts);
}

TEST(MetadataColumns, WhatTheLinesSaid) {
  const SharedFolder folder("metadata_columns");
  for (const std::int64_t shards : {1, 3, 12}) {
    make(folder.path(), kFields, shards);
    const Dataset dataset = Dataset::open(folder.path() / "out");
    const MetadataColumns metadata(dataset);
    ASSERT_EQ(metadata.rows(), 8);
    EXPECT_EQ(metadata.columns()[2].values, (std::vector<std::string>{"c0", "c1", "c2"}));
    EXPECT_EQ(metadata.columns()[3].values, (std::vector<std::string>{"a", "odd", "z"}));
    EXPECT_EQ(metadata.read(0, {2, 8}).integers,
              (std::vector<std::int64_t>{2, 3, 5, 7, kNullInteger, 9}));
    const auto reals = metadata.read(1, {0, 8}).reals;
    EXPECT_EQ(reals[3], 3.5);
    EXPECT_TRUE(std::isnan(reals[6]));
    EXPECT_EQ(metadata.read(2, {0, 8}).codes,
              (std::vector<std::int32_t>{0, 1, 2, 0, 2, 1, kNullCode, 0}));
    const ColumnValues tags = metadata.read(3, {4, 8});
    EXPECT_EQ(tags.codes, (std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, kNullCode, 0, 1, 2}));
    EXPECT_EQ(tags.offsets, (std::vector<std::int64_t>{0, 3, 6, 7, 10}));
    EXPECT_EQ(metadata.external_ids(), ExternalIdType::text);
    EXPECT_EQ(metadata.read_external_ids({3, 8}),
              (std::vector<std::string>{"k3", "k5", "k7", "k8", "k9"}));
    world().barrier();
  }
}

TEST(MetadataColumns, AreWhatAFilterTakes) {
  const SharedFolder folder("metadata_columns");
  make(folder.path(), kFields, 3);
  const Dataset dataset = Dataset::open(folder.path() / "out");
  const MetadataColumns metadata(dataset);
  const auto bits_of = [&](const char* text, Range rows) {
    const Filter filter(text, metadata.columns());
    const auto values = metadata.read(filter.columns(), rows);
    std::uint64_t bits = 0;
    filter.evaluate(views_of(values), rows.size(), {&bits, 1});
    return bits;
  };
  EXPECT_EQ(bits_of("n >= 3 and t contains 'odd'", {0, 8}), 0b10111000u);
  EXPECT_EQ(bits_of("n >= 3 and t contains 'odd'", {3, 8}), 0b10111u);
  EXPECT_EQ(bits_of("c = 'c1' or x is null", {0, 8}), 0b01100010u);
}

TEST(MetadataColumns, IntegersAsIdsAndNoColumns) {
  const SharedFolder folder("metadata_columns");
  make(folder.path(), {{}, "key", ExternalIdType::text}, 2);
  EXPECT_TRUE(MetadataColumns(Dataset::open(folder.path() / "out")).columns().empty());
  world().barrier();
  // Lines without "n" are left out.
  make(folder.path(), {{{"c", MetadataType::category}}, "n", ExternalIdType::integer}, 2);
  const Dataset dataset = Dataset::open(folder.path() / "out");
  const MetadataColumns metadata(dataset);
  EXPECT_EQ(metadata.external_ids(), ExternalIdType::integer);
  EXPECT_EQ(metadata.read_external_ids({3, 7}), (std::vector<std::string>{"3", "5", "7", "9"}));
}

TEST(MetadataColumns, WhatDoesNotGoTogetherIsRefused) {
  const SharedFolder folder("metadata_columns");
  make(folder.path(), kFields, 2,
       "{\"columns\":[{\"name\":\"c\",\"type\":\"category\",\"values\":[\"c0\",\"c1\"]}]}");
  const Dataset dataset = Dataset::open(folder.path() / "out");
  const MetadataColumns metadata(dataset);
  try {
    metadata.read(0, {1, 4});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.problem(), "the code 2 of the column c is none of its 2 values");
    EXPECT_TRUE(error.place().ends_with("out, row 2 of vectors")) << error.place();
  }
  world().barrier();
  make(folder.path(), kFields, 2, "{\"columns\":[{\"name\":\"n\",\"type\":\"float\"}]}");
  EXPECT_THROW(MetadataColumns(Dataset::open(folder.path() / "out")), Error);
  world().barrier();
  if (world().is_root()) testing::write_text(folder.path() / "out" / kColumnsFile, "{");
  world().barrier();
  EXPECT_THROW(MetadataColumns(Dataset::open(folder.path() / "out")), Error);
}

}  // namespace
}  // namespace tutti
