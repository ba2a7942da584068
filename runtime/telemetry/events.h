// The run's record: one JSON object a line in events.jsonl, appended over all restarts (FORMAT.md).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "runtime/telemetry/phases.h"

namespace tutti {

// Appends events to a file, each with its name ("event"), the wall time in seconds since 1970
// ("time"), the seconds since the process started ("uptime_seconds"), and those of them for which
// checkpoints blocked it, where there were any ("checkpoint_seconds", the phase "checkpoint"). A
// default constructed log drops everything (ranks other than the root). Local; one thread, which is
// the one that `phases` belongs to.
class EventLog {
 public:
  EventLog() = default;
  // `phases` outlives the log. Throws Error(io) where the file cannot be opened.
  EventLog(const std::filesystem::path& file, const PhaseTimer& phases);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Written and flushed at once, so that a killed job leaves what it did.
  void write(const std::string& event, nlohmann::json fields = nlohmann::json::object());

  // From now on an event "alive" is written whenever there was none for `silence`, by a thread of
  // its own, so that it is known within about that time when a job was killed. At most once.
  void beat_every(std::chrono::milliseconds silence);

 private:
  using Clock = std::chrono::steady_clock;

  void append(const std::string& event, double checkpoint_seconds, const nlohmann::json& fields);
  void beat(std::chrono::milliseconds silence);

  const PhaseTimer* phases_ = nullptr;
  std::mutex mutex_;  // of all below
  std::FILE* file_ = nullptr;
  Clock::time_point written_;
  bool closing_ = false;
  std::condition_variable wake_;
  std::thread heart_;
};

}  // namespace tutti
