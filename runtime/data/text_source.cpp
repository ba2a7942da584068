#include "runtime/data/text_source.h"

#include <filesystem>
#include <span>

#include "runtime/base/error.h"
#include "runtime/data/utf8.h"

namespace tutti {
namespace {

constexpr std::size_t kPlacesTold = 5;

std::string too_long(std::int64_t longest) {
  return "the record is longer than " + std::to_string(longest) + " bytes (input.longest_record)";
}

}  // namespace

TextSource::TextSource(InputFiles input, TextOptions options)
    : input_(std::move(input)), options_(std::move(options)) {
  if (input_.kind == InputKind::vectors)
    throw Error(ExitCode::usage, "expected text, not vectors", input_.files.front().path,
                "check input.format");
  if (options_.examples.is_wanted() && input_.kind != InputKind::jsonl)
    throw Error(ExitCode::usage, "expected JSON lines of examples, not text files",
                input_.files.front().path, "check input.format and examples.format");
}

struct TextSource::Reader::State {
  State(const TextSource& from, Range range)
      : source(from),
        bytes(range),
        lines(source.input_.files, source.input_.kind == InputKind::jsonl ? range : Range{},
              source.options_.longest_record) {}

  std::optional<std::string> parse(const Line& line, Record& document) const;
  bool next_line(Record& document);
  bool next_file(Record& document);
  bool read_text(const InputFile& file, Record& document);
  void bad(const std::string& problem, const std::string& place);

  const TextSource& source;
  const Range bytes;
  LineReader lines;
  std::size_t file = 0;         // text: the next one
  std::int64_t file_begin = 0;  // of it, in the concatenation
  std::int64_t bytes_read = 0;
  SkippedRecords skipped;
};

void TextSource::Reader::State::bad(const std::string& problem, const std::string& place) {
  if (!source.options_.skip_bad)
    throw Error(ExitCode::data, problem, place, "mend it, or set on_bad_record = \"skip\"");
  if (skipped.first.size() < kPlacesTold) skipped.first.push_back(place + ": " + problem);
  ++skipped.count;
}

std::optional<std::string> TextSource::Reader::State::parse(const Line& line,
                                                            Record& document) const {
  const TextOptions& options = source.options_;
  if (line.too_long) return too_long(options.longest_record);
  return options.examples.is_wanted()
             ? parse_example(line.text, options.fields.id, options.examples, document)
             : parse_record(line.text, options.fields, document);
}

bool TextSource::Reader::State::next_line(Record& document) {
  Line line;
  while (lines.next(line)) {
    const InputFile& listed = source.input_.files[line.file];
    bytes_read += std::int64_t(line.text.size()) + 1;
    const std::optional<std::string> problem = parse(line, document);
    if (!problem) {
      if (document.id.empty()) document.id = listed.name + "@" + std::to_string(line.offset);
      return true;
    }
    bad(*problem, line_place(listed, line.offset));
  }
  return false;
}

bool TextSource::Reader::State::read_text(const InputFile& listed, Record& document) {
  if (listed.bytes > source.options_.longest_record) {
    bad(too_long(source.options_.longest_record), listed.path);
    return false;
  }
  document = {};
  document.text.resize(std::size_t(listed.bytes));
  open_listed(listed).read_at(std::as_writable_bytes(std::span(document.text)), 0);
  if (const std::size_t good = utf8_prefix(document.text); good < document.text.size()) {
    bad("invalid UTF-8 at byte " + std::to_string(good), listed.path);
    return false;
  }
  document.text.erase(0, document.text.size() - without_bom(document.text).size());
  document.id = listed.name;
  document.title = std::filesystem::path(listed.name).stem().string();
  return true;
}

bool TextSource::Reader::State::next_file(Record& document) {
  while (file < source.input_.files.size() && file_begin < bytes.end) {
    const InputFile& listed = source.input_.files[file++];
    const bool mine = bytes.contains(file_begin);
    file_begin += listed.bytes;
    if (!mine) continue;
    bytes_read += listed.bytes;
    if (read_text(listed, document)) return true;
  }
  return false;
}

TextSource::Reader::Reader(const TextSource& source, std::int64_t parts, std::int64_t part)
    : state_(std::make_unique<State>(source, part_of(source.input_.bytes(), parts, part))) {}
TextSource::Reader::~Reader() = default;
TextSource::Reader::Reader(Reader&&) noexcept = default;

bool TextSource::Reader::next(Record& document) {
  return state_->source.input_.kind == InputKind::jsonl ? state_->next_line(document)
                                                        : state_->next_file(document);
}
std::int64_t TextSource::Reader::bytes() const { return state_->bytes_read; }
const SkippedRecords& TextSource::Reader::skipped() const { return state_->skipped; }

}  // namespace tutti
