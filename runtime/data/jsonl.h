// Lines of files, by ranges of bytes, and the JSON records on them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/comm/partition.h"
#include "runtime/data/chat_message.h"
#include "runtime/data/input_files.h"
#include "runtime/io/file.h"

namespace tutti {

// A line without its newline. `text` holds until the next one is asked for.
struct Line {
  std::string_view text;
  std::size_t file = 0;     // index into the files
  std::int64_t offset = 0;  // of the first byte in that file
  bool too_long = false;    // longer than the reader takes: `text` is empty
};

// Reads the lines of files, thought of as concatenated, whose first byte lies in a range of bytes:
// any ranges that cover the files without overlap give each line exactly once. A line never goes
// over from one file to the next; blank ones are left out. Memory: the longest line and a buffer of
// 1 MiB. Local; one thread. Throws Error(data) where a file is not what it was when it was listed,
// Error(io) where it cannot be read.
class LineReader {
 public:
  // The files must outlive the reader. `longest`: bytes of the longest line to hand out.
  LineReader(const std::vector<InputFile>& files, Range bytes, std::int64_t longest);

  // False after the last line.
  bool next(Line& line);

 private:
  bool open_next();
  void find_first_start();
  bool fill();
  bool take(Line& line);

  const std::vector<InputFile>& files_;
  Range range_;
  std::int64_t longest_;
  std::size_t next_file_ = 0;
  std::int64_t next_begin_ = 0;  // of the next file, in the concatenation

  std::optional<File> file_;               // the current one
  std::int64_t file_bytes_ = 0, end_ = 0;  // of it; lines start before `end_`
  std::int64_t line_offset_ = 0;           // of the next line in the current file
  std::int64_t read_offset_ = 0;           // what follows the buffer
  std::string buffer_;
  std::size_t at_ = 0;  // of the next line in the buffer
};

// Opens a file of a list. Throws Error(data) where its size is no longer the listed one.
File open_listed(const InputFile& file);

// "file.jsonl:17": where a person finds the line at `offset`. Counts newlines, so it is for
// messages only.
std::string line_place(const InputFile& file, std::int64_t offset);

// Names of a record's fields; an empty one is not looked for.
struct RecordFields {
  std::string id = "id", title = "title", query = "summary", text = "text";
};

struct Record {
  std::string id, title, query, text;
  std::vector<ChatMessage> messages;  // of an example; see example_record.h
};

// What is wrong with a line that is no JSON, in well-formed UTF-8. `position`: of the byte behind
// the mistake; `what`: the parser's own words.
std::string malformed_json(std::size_t position, std::string what);

// Takes the fields out of a JSON object. `id` may be a string or an integer, and must be there and
// not empty, as must be `text`; `title` and `query` may be missing or null, and are empty then.
// Returns what is wrong, naming field or byte, or nothing. Local; thread-safe.
std::optional<std::string> parse_record(std::string_view json, const RecordFields& fields,
                                        Record& record);

}  // namespace tutti
