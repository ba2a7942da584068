#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>

#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/telemetry/ledger.h"

namespace tutti {
namespace {

using nlohmann::json;

// No clock of ours shows more: sums of what is taken stay finite and exact enough.
constexpr double kMostSeconds = 1e11;
constexpr double kMostSteps = 1e15;

// The first of the keys that is a number between 0 and `most`.
std::optional<double> number_of(const json& line, std::initializer_list<const char*> keys,
                                double most) {
  for (const char* key : keys) {
    const auto it = line.find(key);
    if (it == line.end() || !it->is_number()) continue;
    const double value = it->get<double>();
    if (value >= 0 && value <= most) return value;
  }
  return std::nullopt;
}

std::string text_of(const json& line, const char* key) {
  const auto it = line.find(key);
  return it != line.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::optional<RunEvent> parse_event(const std::string& text) {
  const json line = json::parse(text, nullptr, false);
  if (!line.is_object()) return std::nullopt;
  const std::optional<double> time = number_of(line, {"time"}, kMostSeconds);
  RunEvent event;
  event.name = text_of(line, "event");
  if (event.name.empty() || !time) return std::nullopt;
  event.time = *time;
  event.uptime = number_of(line, {"uptime_seconds"}, kMostSeconds).value_or(-1);
  event.checkpoint_seconds = number_of(line, {"checkpoint_seconds"}, kMostSeconds).value_or(0);
  event.position =
      std::int64_t(number_of(line, {"step", "iteration", "from"}, kMostSteps).value_or(-1));
  event.last_position =
      std::int64_t(number_of(line, {"steps", "iterations", "of"}, kMostSteps).value_or(0));
  event.code = int(number_of(line, {"exit_code", "code"}, 255).value_or(0));
  event.job = text_of(line, "job");
  event.submitted = number_of(line, {"submitted"}, kMostSeconds).value_or(-1);
  return event;
}

}  // namespace

RunRecord read_run_record(std::istream& lines) {
  RunRecord record;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (auto event = parse_event(line))
      record.events.push_back(std::move(*event));
    else
      ++record.skipped_lines;
  }
  return record;
}

RunRecord read_run_record(const std::filesystem::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  RunRecord record = read_run_record(in);
  // A folder opens, and fails to be read.
  if (!in.eof())
    throw Error(ExitCode::data, errno ? std::strerror(errno) : "cannot be read", file.string(),
                "give the folder of a run, which holds its events");
  return record;
}

}  // namespace tutti
