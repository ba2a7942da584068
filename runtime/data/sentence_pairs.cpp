#include "runtime/data/sentence_pairs.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/data/jsonl.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

using nlohmann::json;

constexpr std::int64_t kLongestLine = std::int64_t(16) << 20;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (std::size_t at = 0;;) {
    const std::size_t tab = line.find('\t', at);
    fields.push_back(line.substr(at, tab - at));
    if (tab == std::string_view::npos) return fields;
    at = tab + 1;
  }
}

std::string_view without_return(std::string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

bool is_json(const std::filesystem::path& file) {
  return file.extension() == ".jsonl" || file.extension() == ".ndjson";
}

}  // namespace

std::optional<std::string> parse_json_pair(std::string_view line, SentencePair& pair) {
  if (utf8_prefix(line) != line.size()) return "it is not UTF-8";
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return "it is no JSON object";
  for (const auto& [name, text] :
       {std::pair{"sentence1", &pair.first}, {"sentence2", &pair.second}}) {
    if (!object.contains(name) || !object[name].is_string())
      return fmt::format("\"{}\" is no text", name);
    *text = object[name];
  }
  if (!object.contains("score") || !object["score"].is_number()) return "\"score\" is no number";
  pair.score = object["score"];
  return std::nullopt;
}

std::optional<std::string> parse_table_pair(std::string_view line, const PairColumns& columns,
                                            SentencePair& pair) {
  if (utf8_prefix(line) != line.size()) return "it is not UTF-8";
  const auto fields = fields_of(line);
  const std::size_t last = std::max({columns.first, columns.second, columns.score});
  if (fields.size() <= last)
    return fmt::format("it has {} fields between tabs; expected {}", fields.size(), last + 1);
  pair.first = fields[columns.first];
  pair.second = fields[columns.second];
  const std::string_view score = fields[columns.score];
  const auto [end, problem] =
      std::from_chars(score.data(), score.data() + score.size(), pair.score);
  if (problem != std::errc() || end != score.data() + score.size() || !std::isfinite(pair.score))
    return fmt::format("the score \"{}\" is no number", score);
  return std::nullopt;
}

std::optional<PairColumns> parse_pair_header(std::string_view line) {
  const auto fields = fields_of(line);
  PairColumns columns;
  for (const auto& [name, column] : {std::pair{"sentence1", &columns.first},
                                     {"sentence2", &columns.second},
                                     {"score", &columns.score}}) {
    const auto found = std::find(fields.begin(), fields.end(), name);
    if (found == fields.end()) return std::nullopt;
    *column = std::size_t(found - fields.begin());
  }
  return columns;
}

std::vector<PlacedPair> read_sentence_pairs(const std::filesystem::path& file) {
  const InputFiles input = find_input({file.string()}, "jsonl");
  LineReader lines(input.files, {0, input.bytes()}, kLongestLine);
  std::vector<PlacedPair> pairs;
  std::optional<PairColumns> columns;
  for (Line line; lines.next(line);) {
    const std::string_view text = without_return(line.text);
    if (!is_json(file) && !columns && !line.too_long) {
      const auto header = parse_pair_header(text);
      columns = header.value_or(PairColumns());
      if (header) continue;
    }
    PlacedPair pair;
    const auto problem = line.too_long   ? std::optional<std::string>("it is longer than 16 MiB")
                         : is_json(file) ? parse_json_pair(text, pair)
                                         : parse_table_pair(text, *columns, pair);
    pair.place = line_place(input.files[line.file], line.offset);
    if (problem)
      throw Error(
          ExitCode::data, "no pair of sentences: " + *problem, pair.place,
          "write {\"sentence1\": \"...\", \"sentence2\": \"...\", \"score\": 1.5} (.jsonl), "
          "or the three between tabs");
    pairs.push_back(std::move(pair));
  }
  if (pairs.size() < 2)
    throw Error(ExitCode::data, "there are fewer than two pairs of sentences", file.string(),
                "write one pair a line");
  return pairs;
}

}  // namespace tutti
