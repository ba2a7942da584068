#include "runtime/data/metadata_input.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/support/mpi_main.h"
#include "tests/support/scratch_folder.h"
#include "tests/support/shared_folder.h"

namespace tutti {
namespace {

using testing::SharedFolder;
using testing::world;

MetadataOptions options_of(bool skip = false) {
  return {{{{"n", MetadataType::integer}, {"c", MetadataType::category}, {"t", MetadataType::tags}},
           "key",
           ExternalIdType::text},
          4096,
          skip};
}

// A line of about 2 KB, so that a few thousand of them are several blocks.
std::string line_of(std::int64_t row) {
  return "{\"n\":" + std::to_string(row) + ",\"c\":\"c" + std::to_string(row % 7) +
         "\",\"t\":[\"t" + std::to_string(row % 3) + "\",\"x\"],\"key\":\"k" + std::to_string(row) +
         "\",\"filler\":\"" + std::string(2000, 'f') + "\"}\n";
}

// Rows [begin, end), with blank lines among them.
std::string lines_of(std::int64_t begin, std::int64_t end) {
  std::string all;
  for (std::int64_t row = begin; row < end; ++row) all += line_of(row) + (row % 5 ? "" : " \n");
  return all;
}

// The files on the root; what all ranks make of them.
InputFiles write_files(const SharedFolder& folder, const std::vector<std::string>& texts) {
  if (world().is_root())
    for (std::size_t i = 0; i < texts.size(); ++i)
      testing::write_text(folder.path() / ("m" + std::to_string(i) + ".jsonl"), texts[i]);
  world().barrier();
  return find_input({folder.path().string()}, "jsonl");
}

// What making it is refused with on every rank, behind the folder's name.
std::string refusal(const std::vector<std::string>& texts, std::int64_t rows,
                    MetadataOptions options = options_of()) {
  const SharedFolder folder("metadata");
  try {
    const MetadataInput input(world(), write_files(folder, texts), std::move(options), rows);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(error.agreed());
    const std::string place = std::filesystem::path(error.place()).filename().string();
    return place + ": " + error.problem();
  }
  return "taken";
}

TEST(MetadataInput, TheSameWhateverTheRanks) {
  const SharedFolder folder("metadata");
  const InputFiles files =
      write_files(folder, {lines_of(0, 2500), lines_of(2500, 2501), lines_of(2501, 6000)});
  const MetadataInput input(world(), files, options_of(), 6000);
  EXPECT_EQ(input.columns()[1].values,
            (std::vector<std::string>{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}));
  EXPECT_EQ(input.columns()[2].values, (std::vector<std::string>{"t0", "t1", "t2", "x"}));
  EXPECT_TRUE(input.bad_rows().empty());
  for (const std::int64_t first : {0, 1, 2047, 2048, 2499, 2500, 2501, 4200, 5999}) {
    MetadataReader reader(input, first);
    EXPECT_EQ(reader.next().id_text, "k" + std::to_string(first));
    if (first == 5999) {
      EXPECT_THROW(reader.skip(), Error);
      continue;
    }
    const MetadataRecord& record = reader.next();
    EXPECT_EQ(record.values[0].integer, first + 1);
    EXPECT_EQ(reader.code_of(1, record.values[1].strings[0]), (first + 1) % 7);
  }
  MetadataReader end(input, 6000);
  EXPECT_THROW(end.skip(), Error);
}

TEST(MetadataInput, BadLines) {
  const std::string bad = lines_of(0, 3000) + "{\"n\":\"x\",\"key\":\"bad\"}\n" +
                          lines_of(3000, 3002) + "{\"n\":1," + std::string(5000, ' ') +
                          "\"key\":\"long\"}\n" + line_of(3002) + "{\n";
  EXPECT_EQ(refusal({bad}, 3006),
            "m0.jsonl:3601: the field \"n\" is a string; expected an integer within +-(2^63 - 1)");
  const SharedFolder folder("metadata");
  const MetadataInput input(world(), write_files(folder, {bad}), options_of(true), 3006);
  EXPECT_EQ(input.bad_rows(), (std::vector<std::int64_t>{3000, 3003, 3005}));
  EXPECT_EQ(input.problem_of(3003),
            (folder.path() / "m0.jsonl").string() +
                ":3605: the line is longer than input.longest_record, 4096 bytes");
  MetadataReader reader(input, 3000);
  EXPECT_THROW(reader.next(), Error);
  EXPECT_EQ(reader.next().id_text, "k3000");
}

TEST(MetadataInput, RefusedAsAWhole) {
  EXPECT_EQ(refusal({lines_of(0, 10)}, 11), "m0.jsonl: 10 lines of metadata, but 11 vectors");
  EXPECT_EQ(refusal({lines_of(0, 5), lines_of(5, 12)}, 11),
            "m0.jsonl: 12 lines of metadata, but 11 vectors");
  MetadataOptions options = options_of();
  options.fields.columns.push_back({"d", MetadataType::real});
  EXPECT_EQ(refusal({lines_of(0, 10)}, 10, options), "m0.jsonl: no line has a field \"d\"");
  // Row 2500 stands in another block than row 7, and in another file.
  const std::string refused = refusal({lines_of(0, 3000), lines_of(7, 8)}, 3001);
  EXPECT_TRUE(refused.starts_with("m1.jsonl:1: the id 'k7' is there twice, first in ")) << refused;
  EXPECT_TRUE(refused.ends_with("m0.jsonl:10")) << refused;
}

TEST(MetadataInput, IntegersAsIds) {
  MetadataOptions options = options_of();
  options.fields.id = "n";
  options.fields.id_type = ExternalIdType::integer;
  EXPECT_EQ(refusal({lines_of(0, 100)}, 100, options), "taken");
  EXPECT_TRUE(refusal({lines_of(0, 100), lines_of(99, 100) + lines_of(3, 4)}, 102, options)
                  .starts_with("m1.jsonl:1: the id '99' is there twice"))
      << "the first row that repeats one";
}

}  // namespace
}  // namespace tutti
