// Finds what a job is to read: files, folders and globs become one list of files in a fixed order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tutti {

enum class InputKind {
  jsonl,    // one JSON object a line
  text,     // a file is a document
  vectors,  // see vector_file.h
};

struct InputFile {
  std::string path;
  std::string
      name;  // relative to the folder that was given; the file's own name where it was given itself
  std::int64_t bytes = 0;
  std::int64_t modified_ns = 0;  // since 1970
  bool operator==(const InputFile&) const = default;
};

// Files of one kind, thought of as concatenated: those of the first path first, within a path in
// order of name.
struct InputFiles {
  InputKind kind = InputKind::text;
  std::string vector_format;  // "fvecs", ...; "" : each file's ending tells
  std::vector<InputFile> files;

  std::int64_t bytes() const;
};

// The input formats that find_input takes.
std::vector<std::string> input_formats();

// `paths`: files, folders (searched with their sub-folders; hidden files are left out) and globs.
// `format`: one of input_formats(); "auto" goes by the files' endings, where .jsonl and .ndjson are
// JSONL and what is no vector format is text. A format that is given picks the files with its
// ending out of folders. Local. Throws Error(usage) where a path is not there, a file is named
// twice, or "auto" finds several kinds; Error(data) where nothing is found or a file is empty.
InputFiles find_input(const std::vector<std::string>& paths, const std::string& format);

// For handing the root's list to the other ranks.
nlohmann::json to_json(const InputFiles& input);
InputFiles input_files_from_json(const nlohmann::json& json);

}  // namespace tutti
