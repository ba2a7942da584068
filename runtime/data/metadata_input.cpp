#include "runtime/data/metadata_input.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

// Where lines stand is known by blocks of so many bytes.
constexpr std::int64_t kBlock = std::int64_t(4) << 20;
constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

const char* const kSkipRemedy = "mend it, or leave such vectors out: on_bad_record = \"skip\"";

}  // namespace

// A row's external id: an integer, or 128 bits of hash, which no two strings share in practice.
struct MetadataInput::RowKey {
  std::uint64_t high, low;
  std::int64_t row;

  auto tied() const { return std::tie(high, low, row); }
  bool is_twin_of(const RowKey& other) const { return high == other.high && low == other.low; }
};

// What a rank sees of its blocks. Rows are counted from its first one.
struct MetadataInput::Survey {
  Range blocks;
  std::vector<std::int64_t> rows;  // of each block
  std::int64_t next_row = 0;
  std::vector<std::int64_t> bad;
  std::vector<std::int64_t> there;             // lines that have it, by column
  std::vector<std::set<std::string>> strings;  // by column
  std::vector<RowKey> keys;
};

MetadataInput::MetadataInput(Comm& comm, InputFiles input, MetadataOptions options,
                             std::int64_t rows)
    : input_(std::move(input)), options_(std::move(options)) {
  std::int64_t bytes = 0;
  for (const InputFile& file : input_.files)
    file_begins_.push_back(std::exchange(bytes, bytes + file.bytes));
  const std::int64_t blocks = (bytes + kBlock - 1) / kBlock;
  Survey survey;
  comm.attempt([&] { look_through(survey, part_of(blocks, comm.size(), comm.rank())); });
  settle_rows(comm, survey, rows);
  settle_columns(comm, survey);
  if (options_.fields.id_type != ExternalIdType::none) check_ids(comm, survey);
}

void MetadataInput::look_through(Survey& survey, Range blocks) const {
  survey.blocks = blocks;
  survey.rows.resize(std::size_t(blocks.size()));
  survey.there.resize(columns().size());
  survey.strings.resize(columns().size());
  LineReader lines(input_.files, {blocks.begin * kBlock, blocks.end * kBlock},
                   options_.longest_line);
  Line line;
  MetadataRecord record;
  while (lines.next(line)) {
    const std::int64_t block = (file_begins_[line.file] + line.offset) / kBlock;
    ++survey.rows[std::size_t(block - blocks.begin)];
    take_line(survey, line, record);
    ++survey.next_row;
  }
}

void MetadataInput::take_line(Survey& survey, const Line& line, MetadataRecord& record) const {
  const auto problem = parse(line, record);
  if (!problem) return take_values(survey, line, record);
  if (!options_.skip_bad) throw Error(ExitCode::data, *problem, place_of(line), kSkipRemedy);
  survey.bad.push_back(survey.next_row);
}

void MetadataInput::take_values(Survey& survey, const Line& line,
                                const MetadataRecord& record) const {
  for (std::size_t i = 0; i < columns().size(); ++i) {
    survey.there[i] += record.values[i].is_there;
    for (const std::string& value : record.values[i].strings) survey.strings[i].insert(value);
    if (survey.strings[i].size() > kMostCategories)
      throw Error(ExitCode::data,
                  fmt::format("the column '{}' has more than {} strings", columns()[i].name,
                              kMostCategories),
                  place_of(line), "categories and tags are few; leave it out of metadata.columns");
  }
  if (options_.fields.id_type == ExternalIdType::integer) {
    survey.keys.push_back({0, std::uint64_t(record.id), survey.next_row});
  } else if (options_.fields.id_type == ExternalIdType::text) {
    const XXH128_hash_t hash = XXH3_128bits(record.id_text.data(), record.id_text.size());
    survey.keys.push_back({hash.high64, hash.low64, survey.next_row});
  }
}

// Rows from here on count over all ranks.
void MetadataInput::settle_rows(Comm& comm, Survey& survey, std::int64_t rows) {
  first_rows_ = {0};
  for (const std::int64_t n : comm.all_gather(std::span<const std::int64_t>(survey.rows)))
    first_rows_.push_back(first_rows_.back() + n);
  if (first_rows_.back() != rows)
    throw Error(ExitCode::data,
                fmt::format("{} lines of metadata, but {} vectors", first_rows_.back(), rows),
                input_.files.front().path, "give one line a vector, in the same order")
        .as_agreed();
  const std::int64_t first = first_rows_[std::size_t(survey.blocks.begin)];
  for (std::int64_t& row : survey.bad) row += first;
  for (RowKey& key : survey.keys) key.row += first;
  bad_rows_ = comm.all_gather(std::span<const std::int64_t>(survey.bad));
}

void MetadataInput::settle_columns(Comm& comm, const Survey& survey) {
  std::vector<std::int64_t> there = survey.there;
  comm.all_reduce_sum(std::span(there));
  for (std::size_t i = 0; i < columns().size(); ++i) {
    MetadataColumn& column = options_.fields.columns[i];
    if (there[i] == 0)
      throw Error(ExitCode::data, fmt::format("no line has a field \"{}\"", column.name),
                  input_.files.front().path, "check metadata.columns")
          .as_agreed();
    if (!column.has_codes()) continue;
    std::set<std::string> all;
    for (const std::string& of_rank : comm.all_gather_strings(json(survey.strings[i]).dump()))
      all.merge(json::parse(of_rank).get<std::set<std::string>>());
    if (all.size() > kMostCategories)
      throw Error(ExitCode::data,
                  fmt::format("the column '{}' has {} strings; {} are the most", column.name,
                              all.size(), kMostCategories),
                  input_.files.front().path,
                  "categories and tags are few; leave it out of metadata.columns")
          .as_agreed();
    column.values.assign(all.begin(), all.end());
  }
}

// Ids that are the same come to the same rank.
void MetadataInput::check_ids(Comm& comm, const Survey& survey) const {
  std::vector<std::vector<std::byte>> to_ranks(std::size_t(comm.size()));
  for (const RowKey& key : survey.keys) {
    const auto bytes = std::as_bytes(std::span(&key, 1));
    auto& list = to_ranks[std::size_t(key.low % std::uint64_t(comm.size()))];
    list.insert(list.end(), bytes.begin(), bytes.end());
  }
  std::vector<RowKey> keys;
  for (const auto& bytes : comm.all_to_all(to_ranks)) {
    const std::size_t old = keys.size();
    keys.resize(old + bytes.size() / sizeof(RowKey));
    if (!bytes.empty()) std::memcpy(&keys[old], bytes.data(), bytes.size());
  }
  std::ranges::sort(keys, [](const auto& a, const auto& b) { return a.tied() < b.tied(); });
  // The first row whose id an earlier one has.
  std::int64_t first = kNone, second = kNone;
  for (std::size_t i = 1; i < keys.size(); ++i)
    if (keys[i].is_twin_of(keys[i - 1]) && keys[i].row < second)
      first = keys[i - 1].row, second = keys[i].row;
  const std::int64_t least = comm.all_reduce_min(second);
  first = comm.all_reduce_min(second == least ? first : kNone);
  comm.attempt([&] {
    if (least != kNone && comm.is_root()) refuse_twins(first, least);
  });
}

void MetadataInput::refuse_twins(std::int64_t first, std::int64_t second) const {
  MetadataReader one(*this, first), other(*this, second);
  const std::string id = id_of(one.next(), options_.fields);
  other.next();
  throw Error(ExitCode::data,
              fmt::format("the id '{}' is there twice, first in {}", id, place_of(one.line())),
              place_of(other.line()), "give every vector an id of its own");
}

std::optional<std::string> MetadataInput::parse(const Line& line, MetadataRecord& record) const {
  if (line.too_long)
    return fmt::format("the line is longer than input.longest_record, {} bytes",
                       options_.longest_line);
  return parse_metadata(line.text, options_.fields, record);
}

std::size_t MetadataInput::block_of(std::int64_t row) const {
  return std::size_t(std::ranges::upper_bound(first_rows_, row) - first_rows_.begin()) - 1;
}

std::string MetadataInput::place_of(const Line& line) const {
  return line_place(input_.files[line.file], line.offset);
}

std::string MetadataInput::problem_of(std::int64_t row) const {
  MetadataReader reader(*this, row);
  reader.skip();
  MetadataRecord record;
  return place_of(reader.line()) + ": " + parse(reader.line(), record).value_or("it has changed");
}

MetadataReader::MetadataReader(const MetadataInput& input, std::int64_t row)
    : input_(input),
      lines_(input.input_.files,
             {std::int64_t(input.block_of(row)) * kBlock, std::numeric_limits<std::int64_t>::max()},
             input.options_.longest_line) {
  for (std::int64_t r = input.first_rows_[input.block_of(row)]; r < row; ++r) skip();
}

void MetadataReader::skip() {
  if (!lines_.next(line_))
    throw Error(ExitCode::data, "there are fewer lines than there were",
                input_.input_.files.back().path, "do not change the input while it is read");
}

const MetadataRecord& MetadataReader::next() {
  skip();
  if (const auto problem = input_.parse(line_, record_))
    throw Error(ExitCode::data, *problem, input_.place_of(line_), kSkipRemedy);
  return record_;
}

std::int32_t MetadataReader::code_of(std::size_t column, const std::string& value) const {
  const std::int32_t code = input_.columns()[column].code_of(value);
  if (code == kNoCode)
    throw Error(ExitCode::data, "the line is not what it was", input_.place_of(line_),
                "do not change the input while it is read");
  return code;
}

}  // namespace tutti
