// Documents, whether they come as JSONL or as a folder of text files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/data/example_record.h"
#include "runtime/data/input_files.h"
#include "runtime/data/jsonl.h"

namespace tutti {

struct TextOptions {
  RecordFields fields;      // of JSONL; an empty `id` gives "file.jsonl@BYTE"
  ExampleOptions examples;  // where the lines are examples and no documents
  std::int64_t longest_record = std::int64_t(64) << 20;  // bytes of a line or text file
  bool skip_bad = false;  // leave bad records out and count them, instead of throwing
};

// Bad records that were left out.
struct SkippedRecords {
  std::int64_t count = 0;
  std::vector<std::string> first;  // what was wrong and where, of the first few
};

// Documents of a list of files in their order. Of a text file, `id` is the name in the list,
// `title` the last part of the name without its ending, and `query` is empty. An example without
// an id has "file.jsonl@BYTE".
class TextSource {
 public:
  // Throws Error(usage) for vectors, and for text files where examples are wanted.
  TextSource(InputFiles input, TextOptions options);

  const InputFiles& input() const { return input_; }
  const TextOptions& options() const { return options_; }

  // Reads the documents whose first byte lies in part `part` of `parts` even parts of the
  // concatenated files: every document is in exactly one part, whichever the number of parts.
  // Local; one thread; memory: some two records. Throws Error(data) naming file and line (or byte)
  // for a bad record, unless they are skipped.
  class Reader {
   public:
    Reader(const TextSource& source, std::int64_t parts, std::int64_t part);
    ~Reader();
    Reader(Reader&&) noexcept;

    // False after the last document.
    bool next(Record& document);
    // Bytes of the input that were read for the documents so far.
    std::int64_t bytes() const;
    const SkippedRecords& skipped() const;

   private:
    struct State;
    std::unique_ptr<State> state_;
  };
  // The source must outlive the reader.
  Reader read(std::int64_t parts, std::int64_t part) const { return Reader(*this, parts, part); }

 private:
  InputFiles input_;
  TextOptions options_;
};

}  // namespace tutti
