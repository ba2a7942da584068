// Where the time went: wall time by phase, gathered over ranks into the table at the end of a run.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/comm/comm.h"

namespace tutti {

// Adds up wall time by named phase on this rank. Phases do not nest; what no phase covers is
// "other".
class PhaseTimer {
 public:
  using Clock = std::chrono::steady_clock;

  PhaseTimer() : start_(Clock::now()) {}

  // Times the enclosing block.
  class Scope {
   public:
    Scope(PhaseTimer& timer, std::string_view phase);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseTimer& timer_;
    std::size_t phase_;
    Clock::time_point start_;
  };
  [[nodiscard]] Scope measure(std::string_view phase) { return Scope(*this, phase); }

  // Time that work of a phase took behind the back of other phases, on a thread of its own.
  void add_hidden(std::string_view phase, double seconds);

  double seconds(std::string_view phase) const;
  double hidden_seconds(std::string_view phase) const;
  double total_seconds() const;

  // The table: share, minimum, mean and maximum seconds over ranks by phase, how much of a phase
  // ran behind others, and advice where ranks wait for one another. Collective; every rank must
  // have met the same phases. The text is the same on all ranks.
  std::string table(Comm& comm) const;

 private:
  std::size_t index_of(std::string_view phase);

  Clock::time_point start_;
  std::vector<std::string> names_;
  std::vector<double> seconds_, hidden_;
};

}  // namespace tutti
