#include "runtime/data/input_files.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <glob.h>
#include <sys/stat.h>

#include "runtime/base/error.h"
#include "runtime/data/vector_file.h"
#include "runtime/io/file.h"

namespace tutti {
namespace {

namespace fs = std::filesystem;

std::string ending_of(const std::string& path) {
  std::string ending = fs::path(path).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return ending.empty() ? ending : ending.substr(1);
}

bool is_vector_ending(const std::string& ending) {
  const auto& formats = vector_formats();
  return ending == "h5" || std::find(formats.begin(), formats.end(), ending) != formats.end();
}

InputKind kind_of(const std::string& path) {
  const std::string ending = ending_of(path);
  if (ending == "jsonl" || ending == "ndjson") return InputKind::jsonl;
  return is_vector_ending(ending) ? InputKind::vectors : InputKind::text;
}

const char* name_of(InputKind kind) {
  return kind == InputKind::jsonl ? "jsonl" : kind == InputKind::text ? "text" : "vectors";
}

// What a format asks for; nothing for "auto".
struct Wanted {
  bool any = false;
  InputKind kind = InputKind::text;
  std::string vector_format;

  explicit Wanted(const std::string& format) {
    any = format == "auto";
    if (format == "jsonl") kind = InputKind::jsonl;
    if (format.starts_with("vectors")) kind = InputKind::vectors;
    if (format.starts_with("vectors:")) vector_format = format.substr(8);
  }

  // Whether a file found in a folder is one of them.
  bool takes(const std::string& path) const {
    if (any || kind == InputKind::text) return true;
    if (kind_of(path) != kind) return false;
    const std::string ending = ending_of(path);
    return vector_format.empty() || ending == vector_format ||
           (vector_format == "hdf5" && ending == "h5");
  }
};

InputFile describe(const std::string& path, std::string name) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw_file_error("read", path, errno);
  if (status.st_size == 0)
    throw Error(ExitCode::data, "the file is empty", path, "take it out of the input");
  return {path, std::move(name), status.st_size,
          std::int64_t(status.st_mtim.tv_sec) * 1000000000 + status.st_mtim.tv_nsec};
}

std::vector<InputFile> search_folder(const fs::path& folder, const Wanted& wanted) {
  std::vector<InputFile> files;
  std::error_code error;
  fs::recursive_directory_iterator walk(folder, error);
  for (; !error && walk != fs::end(walk); walk.increment(error)) {
    const fs::path& path = walk->path();
    if (path.filename().string().starts_with(".")) {
      if (walk->is_directory()) walk.disable_recursion_pending();
    } else if (walk->is_regular_file() && wanted.takes(path.string())) {
      files.push_back(describe(path.string(), path.lexically_relative(folder).generic_string()));
    }
  }
  if (error) throw_file_error("read the folder", folder, error.value());
  std::sort(files.begin(), files.end(),
            [](const InputFile& a, const InputFile& b) { return a.name < b.name; });
  return files;
}

// What a glob matches, in order of name; just the pattern where it is an existing path or matches
// nothing.
std::vector<std::string> expand(const std::string& pattern) {
  if (fs::exists(pattern)) return {pattern};
  std::vector<std::string> paths;
  glob_t found{};
  if (::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0)
    paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  std::sort(paths.begin(), paths.end());
  if (paths.empty())
    throw Error(ExitCode::usage, "no such file or folder, and no match as a glob", pattern,
                "check input.paths");
  return paths;
}

void check_unique(const std::vector<InputFile>& files) {
  std::set<fs::path> seen;
  for (const InputFile& file : files)
    if (!seen.insert(fs::weakly_canonical(file.path)).second)
      throw Error(ExitCode::usage, "the input names a file twice", file.path, "check input.paths");
}

InputKind common_kind(const std::vector<InputFile>& files) {
  const InputKind kind = kind_of(files.front().path);
  for (const InputFile& file : files)
    if (kind_of(file.path) != kind)
      throw Error(ExitCode::usage,
                  std::string("the input mixes formats: ") + files.front().path + " looks like " +
                      name_of(kind) + ", this file like " + name_of(kind_of(file.path)),
                  file.path, "set input.format");
  return kind;
}

}  // namespace

std::int64_t InputFiles::bytes() const {
  std::int64_t total = 0;
  for (const InputFile& file : files) total += file.bytes;
  return total;
}

std::vector<std::string> input_formats() {
  std::vector<std::string> formats = {"auto", "jsonl", "text", "vectors"};
  for (const std::string& vectors : vector_formats()) formats.push_back("vectors:" + vectors);
  return formats;
}

InputFiles find_input(const std::vector<std::string>& paths, const std::string& format) {
  const Wanted wanted(format);
  InputFiles input;
  for (const std::string& pattern : paths) {
    for (const std::string& path : expand(pattern)) {
      if (fs::is_directory(path)) {
        for (InputFile& file : search_folder(path, wanted)) input.files.push_back(std::move(file));
      } else {
        input.files.push_back(describe(path, fs::path(path).filename().string()));
      }
    }
  }
  if (input.files.empty())
    throw Error(ExitCode::data, "no " + (wanted.any ? "" : format + " ") + "files found",
                paths.empty() ? "input.paths" : paths.front(),
                "check input.paths and input.format");
  check_unique(input.files);
  input.kind = wanted.any ? common_kind(input.files) : wanted.kind;
  input.vector_format = wanted.vector_format;
  return input;
}

nlohmann::json to_json(const InputFiles& input) {
  nlohmann::json files = nlohmann::json::array();
  for (const InputFile& f : input.files) files.push_back({f.path, f.name, f.bytes, f.modified_ns});
  return {{"kind", int(input.kind)}, {"vector_format", input.vector_format}, {"files", files}};
}

InputFiles input_files_from_json(const nlohmann::json& json) {
  InputFiles input;
  input.kind = InputKind(json.at("kind").get<int>());
  input.vector_format = json.at("vector_format");
  for (const auto& f : json.at("files"))
    input.files.push_back({f.at(0), f.at(1), f.at(2), f.at(3)});
  return input;
}

}  // namespace tutti
