// Finds hangs: a collective that takes too long ends the job, naming rank, host, collective and
// step.
#pragma once

#include <atomic>
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
  void watch();

  const int rank_;
  const std::string host_;
  const double limit_seconds_;
  std::atomic<const char*> collective_{nullptr};
  std::atomic<std::int64_t> waits_{0};  // tells one wait from the next
  std::atomic<std::int64_t> step_{0};
  std::mutex mutex_;
  std::condition_variable stop_condition_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace tutti
