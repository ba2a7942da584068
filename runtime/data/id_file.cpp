#include "runtime/data/id_file.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "runtime/base/error.h"
#include "runtime/io/digest.h"
#include "runtime/io/file.h"

namespace tutti {

IdFile IdFile::open(const std::filesystem::path& path, ExternalIdType type) {
  if (!std::filesystem::is_regular_file(path))
    throw Error(ExitCode::usage, "no such file of ids", path.string(),
                "check the path in the configuration");
  return IdFile(read_file(path), path.string(), type);
}

IdFile::IdFile(std::string bytes, std::string place, ExternalIdType type)
    : bytes_(std::move(bytes)), place_(std::move(place)) {
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < bytes_.size();) {
    const std::size_t end = std::min(bytes_.find('\n', begin), bytes_.size());
    std::size_t length = end - begin;
    if (length > 0 && bytes_[end - 1] == '\r') --length;
    ++number;
    if (length > 0) add({number, begin, length}, type);
    begin = end + 1;
  }
}

void IdFile::add(const Line& line, ExternalIdType type) {
  lines_.push_back(line);
  const std::string_view text = this->text(std::int64_t(lines_.size()) - 1);
  if (type == ExternalIdType::text) return keys_.push_back(id_key(text));
  std::int64_t id = 0;
  const auto [end, failure] = std::from_chars(text.begin(), text.end(), id);
  if (failure != std::errc() || end != text.end() || (type == ExternalIdType::none && id < 0))
    throw Error(ExitCode::data, fmt::format("'{}' is no id", text), place_of(count()),
                type == ExternalIdType::none
                    ? "the index has no external ids: give its own, integers of 0 and more"
                    : "the index's external ids are integers: give these, one a line");
  keys_.push_back(id_key(id));
}

std::string_view IdFile::text(std::int64_t index) const {
  const Line& line = lines_[std::size_t(index)];
  return std::string_view(bytes_).substr(line.begin, line.length);
}

std::string IdFile::place_of(std::int64_t index) const {
  return fmt::format("{}, line {}", place_, lines_[std::size_t(index)].number);
}

std::string IdFile::digest() const { return digest_of(bytes_); }

}  // namespace tutti
