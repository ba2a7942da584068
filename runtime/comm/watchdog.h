// Finds hangs: a collective that takes too long ends the job, naming rank, host, collective and
// step; and a rank whose launcher is gone ends itself.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace tutti {

// Watches one thread's waits. A thread of its own looks at the clock; where a wait outlasts the
// limit it writes a message to standard error and ends the process with ExitCode::hang, upon which
// the launcher ends the other ranks.
class Watchdog {
 public:
  // `limit_seconds` <= 0: watches nothing.
  Watchdog(int rank, std::string host, double limit_seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The parent is what launched this rank: where it ends and the rank is still there
  // `patience_seconds` later, MPI has not noticed, and the watchdog ends the process. At most once,
  // from the thread that made the watchdog.
  void end_with_launcher(double patience_seconds = 10);

  void set_step(std::int64_t step) { step_.store(step, std::memory_order_relaxed); }

  // The enclosing block waits for others in `collective` (a string literal).
  class Wait {
   public:
    Wait(Watchdog* watchdog, const char* collective);
    ~Wait();
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    Watchdog* watchdog_;
  };

 private:
  using Clock = std::chrono::steady_clock;

  void watch();
  void look_at_wait(Clock::time_point now);
  void look_at_launcher(Clock::time_point now);

  const int rank_;
  const std::string host_;
  const double limit_seconds_;
  std::atomic<const char*> collective_{nullptr};
  std::atomic<std::int64_t> waits_{0};  // tells one wait from the next
  std::atomic<std::int64_t> step_{0};
  std::atomic<int> launcher_{0};  // its process; 0: not watched
  double patience_seconds_ = 0;
  // The thread's own: the wait that it saw, and since when; since when the launcher is gone.
  std::int64_t seen_ = -1;
  Clock::time_point since_, orphaned_;
  std::mutex mutex_;
  std::condition_variable stop_condition_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tutti
