#include "runtime/telemetry/events.h"

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "runtime/base/error.h"

namespace tutti {

EventLog::EventLog(const std::filesystem::path& file) : file_(std::fopen(file.c_str(), "a+")) {
  if (!file_)
    throw Error(ExitCode::io, std::strerror(errno), file.string(),
                "check the run folder's permissions");
  // A job killed in the middle of a line leaves its end missing: the next line starts afresh.
  if (std::fseek(file_, -1, SEEK_END) == 0 && std::fgetc(file_) != '\n') std::fputc('\n', file_);
}

EventLog::~EventLog() {
  if (file_) std::fclose(file_);
}

void EventLog::write(const std::string& event, nlohmann::json fields) {
  if (!file_) return;
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  nlohmann::ordered_json line = {{"time", std::round(now * 1e3) / 1e3}, {"event", event}};
  for (auto& [name, value] : fields.items()) line[name] = std::move(value);
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), file_);
  std::fflush(file_);
}

}  // namespace tutti
