#include "jobs/answers.h"

#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

std::string read_text(const Dataset& dataset, const Dataset::Column& column, std::int64_t row) {
  std::vector<std::int64_t> offsets;
  std::vector<char> bytes;
  dataset.read_ragged(column, row, 1, offsets, bytes);
  return {bytes.begin(), bytes.end()};
}

// The shard whose rows of a table hold `row`.
std::int64_t shard_of(const Dataset& dataset, std::string_view table, std::int64_t row) {
  std::int64_t shard = 0;
  while (dataset.shard_rows(table, shard).end <= row) ++shard;
  return shard;
}

// The document (a global row) of a passage.
std::int64_t document_of(const Dataset& dataset, std::int64_t passage) {
  const Range documents = dataset.shard_rows("documents", shard_of(dataset, "passages", passage));
  std::int64_t place = 0;
  dataset.read(dataset.column("passages", "document"), passage, 1, std::span(&place, 1));
  if (place < 0 || place >= documents.size())
    throw Error(ExitCode::data, fmt::format("passage {} belongs to no document", passage),
                dataset.folder().string(), "shard the documents again");
  return documents.begin + place;
}

double score_of(const Neighbor& neighbor, Metric metric) {
  const double distance = double(neighbor.distance);
  return metric == Metric::cosine ? 1 - distance : -distance;
}

// Characters of UTF-8: the bytes that continue none.
std::size_t characters(std::string_view text) {
  return std::size_t(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

nlohmann::json answers_of(const Dataset& dataset, std::span<const Neighbor> found, Metric metric) {
  nlohmann::json answers = nlohmann::json::array();
  for (const Neighbor& neighbor : found) {
    if (neighbor.id < 0) break;
    if (neighbor.id >= dataset.rows("passages"))
      throw Error(ExitCode::data,
                  fmt::format("the index names passage {}, the dataset has {}", neighbor.id,
                              dataset.rows("passages")),
                  dataset.folder().string(), "give the dataset whose passages were embedded");
    const std::int64_t document = document_of(dataset, neighbor.id);
    answers.push_back(
        {{"rank", answers.size() + 1},
         {"score", score_of(neighbor, metric)},
         {"passage", neighbor.id},
         {"title", read_text(dataset, dataset.column("documents", "title"), document)},
         {"text", read_text(dataset, dataset.column("passages", "text"), neighbor.id)}});
  }
  return answers;
}

std::string answers_text(const std::string& question, const nlohmann::json& answers,
                         std::size_t width) {
  std::string text = question + "\n";
  for (const nlohmann::json& answer : answers) {
    text +=
        fmt::format("\n{:3}  {:.3f}  {}\n", answer["rank"].get<int>(),
                    answer["score"].get<double>(), answer["title"].get_ref<const std::string&>());
    text += wrapped(answer["text"].get_ref<const std::string&>(), width, 5);
  }
  return text;
}

std::string wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  std::istringstream words{std::string(text)};
  std::string lines;
  std::size_t used = 0;
  for (std::string word; words >> word;) {
    const std::size_t length = characters(word);
    if (used > 0 && used + 1 + length > width) {
      lines += '\n';
      used = 0;
    }
    if (used == 0)
      lines.append(indent, ' ');
    else
      lines += ' ';
    used += (used == 0 ? indent : 1) + length;
    lines += word;
  }
  return used > 0 ? lines + "\n" : lines;
}

}  // namespace tutti
