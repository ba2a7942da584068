// The metadata of vectors, as users have them: a line of JSONL a vector.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/comm/comm.h"
#include "runtime/comm/partition.h"
#include "runtime/data/input_files.h"
#include "runtime/data/jsonl.h"
#include "runtime/data/metadata_record.h"

namespace tutti {

// Strings of a category or of tags that there may be, over all rows.
inline constexpr std::size_t kMostCategories = std::size_t(1) << 20;

struct MetadataOptions {
  MetadataFields fields;
  std::int64_t longest_line = std::int64_t(1) << 20;  // bytes
  bool skip_bad = false;  // take a bad line for a vector to be left out, not for an error
};

// Lines of files, thought of as concatenated, without blank ones: line r is of the vector in row r.
class MetadataInput {
 public:
  // Looks through all lines, each rank at its part: finds where they stand, which are bad, what
  // strings categories and tags have, and whether two have the same external id. What it finds does
  // not follow from the number of ranks. `rows`: the vectors. Collective; throws Error(data) on all
  // ranks, naming file and line, where a line is bad, an id is there twice, there are more or fewer
  // lines than vectors, a column is in no line or has more than kMostCategories strings; errors of
  // LineReader.
  MetadataInput(Comm& comm, InputFiles input, MetadataOptions options, std::int64_t rows);

  // With the values of categories and tags.
  const std::vector<MetadataColumn>& columns() const { return options_.fields.columns; }
  const MetadataFields& fields() const { return options_.fields; }
  // Rows to be left out, ascending. None without `skip_bad`.
  const std::vector<std::int64_t>& bad_rows() const { return bad_rows_; }
  // "meta.jsonl:17: what is wrong" of one of them. Local.
  std::string problem_of(std::int64_t row) const;

 private:
  friend class MetadataReader;
  struct Survey;
  struct RowKey;

  void look_through(Survey& survey, Range blocks) const;
  void take_line(Survey& survey, const Line& line, MetadataRecord& record) const;
  void take_values(Survey& survey, const Line& line, const MetadataRecord& record) const;
  void settle_rows(Comm& comm, Survey& survey, std::int64_t rows);
  void settle_columns(Comm& comm, const Survey& survey);
  void check_ids(Comm& comm, const Survey& survey) const;
  [[noreturn]] void refuse_twins(std::int64_t first, std::int64_t second) const;
  // What is wrong with a line, or nothing.
  std::optional<std::string> parse(const Line& line, MetadataRecord& record) const;
  std::string place_of(const Line& line) const;
  // The block of bytes in which a row's line begins.
  std::size_t block_of(std::int64_t row) const;

  InputFiles input_;
  MetadataOptions options_;
  std::vector<std::int64_t> file_begins_;  // of each file, in bytes of the whole
  std::vector<std::int64_t> first_rows_;   // of each block of bytes, and the end
  std::vector<std::int64_t> bad_rows_;
};

// Reads lines in order. Local; one thread. The input must outlive it. Throws Error(data) naming
// file and line where the file is not what it was, errors of LineReader.
class MetadataReader {
 public:
  MetadataReader(const MetadataInput& input, std::int64_t row);

  // The next row's metadata, which must not be a bad row's; they hold until the next call.
  const MetadataRecord& next();
  // Passes over a row.
  void skip();
  // The code of a string that the last row has.
  std::int32_t code_of(std::size_t column, const std::string& value) const;

  // The line that was read last, and where it stands.
  const Line& line() const { return line_; }

 private:
  const MetadataInput& input_;
  LineReader lines_;
  Line line_;
  MetadataRecord record_;
};

}  // namespace tutti
