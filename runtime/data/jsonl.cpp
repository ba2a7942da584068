#include "runtime/data/jsonl.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

// Receives nlohmann's events; keeps the wanted fields of the outermost object and passes over
// everything else.
class RecordHandler {
 public:
  using Json = nlohmann::json;

  RecordHandler(const RecordFields& fields, Record& record)
      : slots_{{{&fields.id, &record.id, true},
                {&fields.title, &record.title, false},
                {&fields.query, &record.query, false},
                {&fields.text, &record.text, false}}} {}

  bool null() { return true; }
  bool boolean(bool) { return scalar("true or false"); }
  bool number_integer(Json::number_integer_t value) { return integer(std::to_string(value)); }
  bool number_unsigned(Json::number_unsigned_t value) { return integer(std::to_string(value)); }
  bool number_float(Json::number_float_t, const std::string&) { return scalar("a number"); }
  bool binary(Json::binary_t&) { return scalar("binary"); }
  bool string(std::string& value) {
    if (depth_ == 0) return not_an_object();
    if (Slot* slot = wanted()) {
      *slot->value = std::move(value);
      slot->found = true;
    }
    return true;
  }
  bool start_object(std::size_t) {
    if (depth_ > 0 && !scalar("an object")) return false;
    ++depth_;
    return true;
  }
  bool key(std::string& name) {
    current_ = nullptr;
    for (Slot& slot : slots_)
      if (depth_ == 1 && !slot.name->empty() && *slot.name == name) current_ = &slot;
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t) {
    if (!scalar("an array")) return false;
    ++depth_;
    return true;
  }
  bool end_array() { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) {
    problem = malformed_json(position, e.what());
    return false;
  }

  // After a parse that went well: the first required field that is missing.
  std::optional<std::string> missing() const {
    if (!was_object_) return "expected a JSON object";
    for (const Slot* slot : {&slots_[0], &slots_[3]})
      if (!slot->name->empty() && (!slot->found || (slot == &slots_[0] && slot->value->empty())))
        return "the record has no field \"" + *slot->name + "\"";
    return std::nullopt;
  }

  std::string problem;

 private:
  struct Slot {
    const std::string* name;
    std::string* value;
    bool integers;
    bool found = false;
  };

  Slot* wanted() { return depth_ == 1 ? std::exchange(current_, nullptr) : nullptr; }
  bool not_an_object() {
    problem = "expected a JSON object";
    return false;
  }
  bool scalar(const char* what) {
    if (depth_ == 0) return not_an_object();
    const Slot* slot = wanted();
    if (!slot) return true;
    problem = "the field \"" + *slot->name + "\" is " + what + "; expected a string";
    return false;
  }
  bool integer(std::string digits) {
    if (depth_ != 1 || !current_ || !current_->integers) return scalar("a number");
    return string(digits);
  }
  bool close() {
    was_object_ = --depth_ == 0;
    return true;
  }

  std::array<Slot, 4> slots_;
  Slot* current_ = nullptr;  // whose value comes next
  int depth_ = 0;
  bool was_object_ = false;
};

}  // namespace

File open_listed(const InputFile& listed) {
  File file(listed.path, FileMode::read);
  if (file.size() != listed.bytes)
    throw Error(ExitCode::data,
                "the file has " + std::to_string(file.size()) + " bytes; it had " +
                    std::to_string(listed.bytes) + " when the job started",
                listed.path, "do not change the input while it is read");
  return file;
}

std::string line_place(const InputFile& listed, std::int64_t offset) {
  const File file(listed.path, FileMode::read);
  std::string piece;
  std::int64_t line = 1;
  for (std::int64_t at = 0; at < offset; at += std::int64_t(piece.size())) {
    piece.resize(std::size_t(std::min(kReadBytes, offset - at)));
    file.read_at(std::as_writable_bytes(std::span(piece)), at);
    line += std::count(piece.begin(), piece.end(), '\n');
  }
  return listed.path + ":" + std::to_string(line);
}

LineReader::LineReader(const std::vector<InputFile>& files, Range bytes, std::int64_t longest)
    : files_(files), range_(bytes), longest_(longest) {}

bool LineReader::next(Line& line) {
  while (true) {
    if (!file_ && !open_next()) return false;
    if (line_offset_ >= end_) {
      file_.reset();
      continue;
    }
    if (take(line) && (line.too_long || !is_blank(line.text))) return true;
  }
}

// Opens the next file that has bytes in the range, at its first line there.
bool LineReader::open_next() {
  while (next_file_ < files_.size() && next_begin_ < range_.end) {
    const InputFile& listed = files_[next_file_++];
    const std::int64_t begin = std::max<std::int64_t>(0, range_.begin - next_begin_);
    end_ = std::min(listed.bytes, range_.end - next_begin_);
    next_begin_ += listed.bytes;
    if (begin >= end_) continue;
    file_ = open_listed(listed);
    file_bytes_ = listed.bytes;
    buffer_.clear();
    at_ = 0;
    line_offset_ = read_offset_ = begin;
    if (begin > 0) find_first_start();
    return true;
  }
  return false;
}

// A line starts behind a newline: looks for the first one from the byte before the range on.
void LineReader::find_first_start() {
  --line_offset_;
  --read_offset_;
  while (true) {
    const std::size_t newline = buffer_.find('\n', at_);
    if (newline != std::string::npos) {
      line_offset_ += std::int64_t(newline + 1 - at_);
      at_ = newline + 1;
      return;
    }
    line_offset_ = read_offset_;
    buffer_.clear();
    at_ = 0;
    if (line_offset_ >= end_ || !fill()) return;
  }
}

// Reads on behind the buffer, first dropping the lines in it that were taken. False at the end of
// the file.
bool LineReader::fill() {
  buffer_.erase(0, at_);
  at_ = 0;
  const std::int64_t bytes = std::min(kReadBytes, file_bytes_ - read_offset_);
  if (bytes == 0) return false;
  const std::size_t old = buffer_.size();
  buffer_.resize(old + std::size_t(bytes));
  file_->read_at(std::as_writable_bytes(std::span(buffer_).subspan(old)), read_offset_);
  read_offset_ += bytes;
  return true;
}

bool LineReader::take(Line& line) {
  line = {{}, next_file_ - 1, line_offset_, false};
  std::size_t searched = at_, newline;
  while ((newline = buffer_.find('\n', searched)) == std::string::npos) {
    if (std::int64_t(buffer_.size() - at_) >
        longest_) {  // drop what there is of it, and go on to its end
      line.too_long = true;
      line_offset_ += std::int64_t(buffer_.size() - at_);
      at_ = buffer_.size();
    }
    const std::size_t unread = buffer_.size() - at_;
    const bool more = fill();
    searched = at_ + unread;
    if (!more) {
      newline = buffer_.size();
      break;
    }
  }
  const std::size_t length = newline - at_;
  line.too_long = line.too_long || std::int64_t(length) > longest_;
  if (!line.too_long) line.text = std::string_view(buffer_).substr(at_, length);
  if (line.offset == 0) line.text = without_bom(line.text);
  line_offset_ += std::int64_t(length) + 1;
  at_ = std::min(newline + 1, buffer_.size());
  return true;
}

std::string malformed_json(std::size_t position, std::string what) {
  constexpr std::size_t kLongest = 160;
  if (const std::size_t colon = what.find(": "); colon != std::string::npos)
    what.erase(0, colon + 2);
  return "malformed JSON at byte " + std::to_string(position) +
         " of the line: " + what.substr(0, std::min(utf8_floor(what, kLongest), utf8_prefix(what)));
}

std::optional<std::string> parse_record(std::string_view json, const RecordFields& fields,
                                        Record& record) {
  record = {};
  RecordHandler handler(fields, record);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) return handler.problem;
  return handler.missing();
}

}  // namespace tutti
