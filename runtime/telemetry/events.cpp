#include "runtime/telemetry/events.h"

#include <cerrno>
#include <cmath>
#include <cstring>

#include "runtime/base/error.h"

namespace tutti {
namespace {

double whole_milliseconds(double seconds) { return std::round(seconds * 1e3) / 1e3; }

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

EventLog::EventLog(const std::filesystem::path& file, const PhaseTimer& phases)
    : phases_(&phases), file_(std::fopen(file.c_str(), "a+")), written_(Clock::now()) {
  if (!file_)
    throw Error(ExitCode::io, std::strerror(errno), file.string(),
                "check the run folder's permissions");
  // A job killed in the middle of a line leaves its end missing: the next line starts afresh.
  if (std::fseek(file_, -1, SEEK_END) == 0 && std::fgetc(file_) != '\n') std::fputc('\n', file_);
}

EventLog::~EventLog() {
  if (heart_.joinable()) {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    heart_.join();
  }
  if (file_) std::fclose(file_);
}

void EventLog::write(const std::string& event, nlohmann::json fields) {
  if (!file_) return;
  const double blocked = phases_->seconds("checkpoint");  // the heart may not ask: it is not locked
  const std::lock_guard lock(mutex_);
  append(event, blocked, fields);
}

void EventLog::append(const std::string& event, double checkpoint_seconds,
                      const nlohmann::json& fields) {
  nlohmann::ordered_json line = {{"time", whole_milliseconds(wall_seconds())},
                                 {"event", event},
                                 {"uptime_seconds", whole_milliseconds(phases_->total_seconds())}};
  if (const double blocked = whole_milliseconds(checkpoint_seconds); blocked > 0)
    line["checkpoint_seconds"] = blocked;
  for (const auto& [name, value] : fields.items()) line[name] = value;
  const std::string text =
      line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), file_);
  std::fflush(file_);
  written_ = Clock::now();
}

void EventLog::beat_every(std::chrono::milliseconds silence) {
  if (file_) heart_ = std::thread([this, silence] { beat(silence); });
}

void EventLog::beat(std::chrono::milliseconds silence) {
  std::unique_lock lock(mutex_);
  while (!wake_.wait_until(lock, written_ + silence, [&] { return closing_; }))
    if (Clock::now() >= written_ + silence) append("alive", 0, nlohmann::json::object());
}

}  // namespace tutti
