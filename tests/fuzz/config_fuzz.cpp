// Configuration: up to the first zero byte `--set` settings, one a line; behind it a TOML file.
#include <cmath>

#include "runtime/base/config.h"
#include "tests/fuzz/support.h"

namespace tutti {
namespace {

// A key of each type.
struct Values {
  std::int64_t count = 1, size = 2;
  double rate = 0.5, time = 60;
  bool flag = true;
  std::string name = "plain", kind = "one";
  std::vector<std::string> paths = {"a"};

  void describe(Schema& s) {
    s.key("a.count", &count, "steps", "");
    s.key("a.rate", &rate, "", "");
    s.key("flag", &flag, "");
    s.key("a.name", &name, "");
    s.key("b.paths", &paths, "");
    s.choice("b.kind", &kind, {"one", "two"}, "");
    s.duration("b.c.time", &time, "");
    s.bytes("b.size", &size, "");
  }
};

void set_each_line(Schema& schema, std::string_view lines) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string setting(lines.substr(0, end));
    fuzz::accepts([&] { schema.set(setting); });
    fuzz::accepts([&] { CHECK(parse_bytes(setting, "here") >= 0); });
    fuzz::accepts([&] {
      const double seconds = parse_duration(setting, "here");
      CHECK(std::isfinite(seconds) && seconds >= 0);
    });
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

// What was taken can be written down and read back.
void check_written(const Schema& schema) {
  Values again;
  Schema reader;
  again.describe(reader);
  const std::string text = schema.to_toml();
  reader.load_file(fuzz::MemoryFile(text).path());
  CHECK(reader.to_toml() == text, text);
}

}  // namespace
}  // namespace tutti

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const std::string_view bytes = fuzz::text_of(data, size);
  const std::size_t zero = std::min(bytes.find('\0'), size);
  Values values;
  Schema schema;
  values.describe(schema);
  const fuzz::MemoryFile file(bytes.substr(std::min(zero + 1, size)));
  fuzz::accepts([&] { schema.load_file(file.path()); });
  set_each_line(schema, bytes.substr(0, zero));
  check_written(schema);
  return 0;
}
