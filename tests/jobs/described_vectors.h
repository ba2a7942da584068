// Vectors with columns of metadata, as tutti shard makes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/jobs/vector_folder.h"
#include "tests/support/command.h"

namespace tutti::testing {

// What is known of the vector in that row. A tenth of them have nothing but their names. From row
// kLaterRow on there are other strings.
struct Description {
  static constexpr std::int64_t kLaterRow = 5000;

  explicit Description(std::int64_t row_) : row(row_) {}

  bool is_known() const { return row % 10 != 9; }
  std::int64_t year() const { return 2000 + row % 25; }
  double score() const { return double(row) + 0.25; }
  std::string lang() const {
    return row >= kLaterRow ? (row % 2 ? "en" : "aa") : row % 3 ? "en" : "de";
  }
  bool is_old() const { return row % 4 != 0; }  // tags: "old" and "a", or none
  std::string doc() const { return "d" + std::to_string(row * row % 1000) + "/" + number_text(); }
  std::int64_t number() const { return 7 * row - 100; }

  std::string line() const {
    const std::string names = fmt::format(R"("doc": "{}", "number": {})", doc(), number());
    if (!is_known()) return "{" + names + "}\n";
    return fmt::format("{{{}, \"year\": {}, \"score\": {}, \"lang\": \"{}\", \"tags\": [{}]}}\n",
                       names, year(), score(), lang(),
                       !is_old()          ? ""
                       : row >= kLaterRow ? R"("old", "new")"
                                          : R"("old", "a")");
  }

  std::int64_t row;

 private:
  std::string number_text() const { return std::to_string(number()); }
};

// Makes the artefact folder / name of `values`, in 3 shards; ids are the rows. `id`: the field that
// names the vectors, "doc:string" or "number:integer". What is known of them is that of the rows
// from `first` on.
inline void shard_described_vectors(const std::filesystem::path& folder, const std::string& name,
                                    std::span<const float> values, std::int64_t dim,
                                    const std::string& id = "doc:string", std::int64_t first = 0) {
  write_fvecs(folder / (name + ".fvecs"), values, dim);
  std::string lines;
  for (std::int64_t row = 0; row < std::int64_t(values.size()) / dim; ++row)
    lines += Description(first + row).line();
  write_text(folder / (name + ".jsonl"), lines);
  const auto done = run_tutti(
      2, "shard --set shards=3 --run " + (folder / name).string() + " --set 'input.paths=[\"" +
             (folder / (name + ".fvecs")).string() + "\"]' --set metadata.file=" +
             (folder / (name + ".jsonl")).string() + " --set metadata.id=" + id +
             R"( --set 'metadata.columns=["year:integer", "score:float", "lang:category", )"
             R"("tags:tags"]')");
  ASSERT_EQ(done.exit_code, 0) << done.output;
}

}  // namespace tutti::testing
