#include "runtime/base/log.h"

#include <memory>

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

struct LogState {
  std::shared_ptr<spdlog::logger> logger;
  int rank = 0;
};

LogState& state() {
  static LogState s = [] {
    LogState fresh;
    fresh.logger = std::make_shared<spdlog::logger>(
        "tutti", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    fresh.logger->set_pattern("%v");
    fresh.logger->flush_on(spdlog::level::info);
    return fresh;
  }();
  return s;
}

spdlog::sink_ptr file_sink(const std::filesystem::path& file) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_pattern("%Y-%m-%d %H:%M:%S %v");
    return sink;
  } catch (const spdlog::spdlog_ex& e) {
    throw Error(ExitCode::io, e.what(), file.string(), "check the folder's permissions");
  }
}

}  // namespace

void log_start(int rank) { state().rank = rank; }

void log_to_file(const std::filesystem::path& file) {
  if (state().rank == 0) state().logger->sinks().push_back(file_sink(file));
}

void append_to_log(const std::filesystem::path& file, const std::string& text) {
  spdlog::logger("tutti", file_sink(file)).info(text);
}

void log_line(const std::string& text) {
  if (state().rank == 0) state().logger->info(text);
}

void log_warning_line(const std::string& text) {
  const int rank = state().rank;
  state().logger->warn(rank == 0 ? "warning: " + text
                                 : fmt::format("warning (rank {}): {}", rank, text));
}

}  // namespace tutti
