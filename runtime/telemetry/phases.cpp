#include "runtime/telemetry/phases.h"

#include <algorithm>
#include <numeric>
#include <sstream>

#include <fmt/format.h>

namespace tutti {
namespace {

double seconds_since(PhaseTimer::Clock::time_point start) {
  return std::chrono::duration<double>(PhaseTimer::Clock::now() - start).count();
}

// The names that any rank met, in the order of the lowest rank that met them.
std::vector<std::string> union_of_names(Comm& comm, const std::vector<std::string>& mine) {
  std::string joined;
  for (const std::string& name : mine) joined += name + "\n";
  std::vector<std::string> all;
  for (const std::string& text : comm.all_gather_strings(joined)) {
    std::istringstream lines(text);
    for (std::string name; std::getline(lines, name);)
      if (std::find(all.begin(), all.end(), name) == all.end()) all.push_back(name);
  }
  return all;
}

struct Spread {
  double minimum, mean, maximum;
};

Spread spread_of(const std::vector<double>& all, std::size_t phases, std::size_t phase) {
  Spread s{1e300, 0, 0};
  const std::size_t ranks = all.size() / phases;
  for (std::size_t r = 0; r < ranks; ++r) {
    const double value = all[r * phases + phase];
    s.minimum = std::min(s.minimum, value);
    s.maximum = std::max(s.maximum, value);
    s.mean += value / double(ranks);
  }
  return s;
}

}  // namespace

PhaseTimer::Scope::Scope(PhaseTimer& timer, std::string_view phase)
    : timer_(timer), phase_(timer.index_of(phase)), start_(Clock::now()) {}

PhaseTimer::Scope::~Scope() { timer_.seconds_[phase_] += seconds_since(start_); }

std::size_t PhaseTimer::index_of(std::string_view phase) {
  const auto it = std::find(names_.begin(), names_.end(), phase);
  if (it != names_.end()) return std::size_t(it - names_.begin());
  names_.emplace_back(phase);
  seconds_.push_back(0);
  hidden_.push_back(0);
  return names_.size() - 1;
}

void PhaseTimer::add_hidden(std::string_view phase, double seconds) {
  hidden_[index_of(phase)] += seconds;
}

double PhaseTimer::seconds(std::string_view phase) const {
  const auto it = std::find(names_.begin(), names_.end(), phase);
  return it == names_.end() ? 0 : seconds_[std::size_t(it - names_.begin())];
}

double PhaseTimer::hidden_seconds(std::string_view phase) const {
  const auto it = std::find(names_.begin(), names_.end(), phase);
  return it == names_.end() ? 0 : hidden_[std::size_t(it - names_.begin())];
}

double PhaseTimer::total_seconds() const { return seconds_since(start_); }

std::string PhaseTimer::table(Comm& comm) const {
  std::vector<std::string> names = union_of_names(comm, names_);
  const double total = total_seconds();
  std::vector<double> mine, hidden;
  for (const std::string& name : names) {
    mine.push_back(seconds(name));
    hidden.push_back(hidden_seconds(name));
  }
  mine.push_back(std::max(0.0, total - std::accumulate(mine.begin(), mine.end(), 0.0)));
  names.push_back("other");
  const std::vector<double> all = comm.all_gather(std::span<const double>(mine));
  const double longest = std::max(comm.all_reduce_max(total), 1e-9);

  hidden.push_back(0);
  const std::vector<double> all_hidden = comm.all_gather(std::span<const double>(hidden));

  std::string text = fmt::format("{:<12} {:>6} {:>10} {:>10} {:>10}\n", "phase", "share", "min s",
                                 "mean s", "max s");
  std::string overlap, advice;
  for (std::size_t p = 0; p < names.size(); ++p) {
    const Spread s = spread_of(all, names.size(), p);
    text += fmt::format("{:<12} {:>5.1f}% {:>10.3f} {:>10.3f} {:>10.3f}\n", names[p],
                        100 * s.mean / longest, s.minimum, s.mean, s.maximum);
    if (const double behind = spread_of(all_hidden, names.size(), p).mean; behind > 0)
      overlap += fmt::format("overlap: {:.3f} s of \"{}\" ran behind other phases, {:.0f}% of it\n",
                             behind, names[p], 100 * behind / (behind + s.mean));
    if (s.maximum - s.minimum > 0.1 * longest && s.maximum > 0.5)
      advice += fmt::format(
          "advice: ranks differ by {:.1f} s in \"{}\": the slowest sets the pace; look for "
          "uneven pieces or a slow node\n",
          s.maximum - s.minimum, names[p]);
  }
  return text + fmt::format("{:<12} {:>5.1f}% {:>32.3f}\n", "total", 100.0, longest) + overlap +
         advice;
}

}  // namespace tutti
