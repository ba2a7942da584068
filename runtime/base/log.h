// Messages for the person who runs the job: standard error, and log.txt in the run folder.
#pragma once

#include <filesystem>
#include <string>

#include <fmt/format.h>

namespace tutti {

// Sets who speaks: `rank` is shown in front of warnings and errors of ranks other than 0, whose
// information lines are dropped. Before it is called, everything is shown. Local.
void log_start(int rank);
// Appends what is shown on the root to this file too. Throws Error(io) where it cannot be opened.
void log_to_file(const std::filesystem::path& file);

// Writes one message to a log file, whoever this is. Throws Error(io) where the file cannot be
// opened.
void append_to_log(const std::filesystem::path& file, const std::string& text);

void log_line(const std::string& text);
void log_warning_line(const std::string& text);

template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_warning_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tutti
