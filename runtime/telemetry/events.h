// The run's record: one JSON object a line in events.jsonl, appended over all restarts.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

namespace tutti {

// Appends events to a file, each with the wall time in seconds since 1970 ("time") and its name
// ("event"). A default constructed log drops everything (ranks other than the root). Local; one
// thread.
class EventLog {
 public:
  EventLog() = default;
  explicit EventLog(const std::filesystem::path& file);
  ~EventLog();
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Written and flushed at once, so that a killed job leaves what it did.
  void write(const std::string& event, nlohmann::json fields = nlohmann::json::object());

 private:
  std::FILE* file_ = nullptr;
};

}  // namespace tutti
