#include "runtime/comm/watchdog.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <unistd.h>

#include "runtime/base/error.h"

namespace tutti {

Watchdog::Watchdog(int rank, std::string host, double limit_seconds)
    : rank_(rank), host_(std::move(host)), limit_seconds_(limit_seconds) {
  if (limit_seconds_ > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_condition_.notify_one();
  thread_.join();
}

Watchdog::Wait::Wait(Watchdog* watchdog, const char* collective) : watchdog_(watchdog) {
  if (!watchdog_) return;
  watchdog_->waits_.fetch_add(1, std::memory_order_relaxed);
  watchdog_->collective_.store(collective, std::memory_order_release);
}

Watchdog::Wait::~Wait() {
  if (watchdog_) watchdog_->collective_.store(nullptr, std::memory_order_release);
}

void Watchdog::end_with_launcher(double patience_seconds) {
  patience_seconds_ = patience_seconds;
  launcher_.store(int(getppid()), std::memory_order_release);
}

void Watchdog::watch() {
  const std::chrono::duration<double> period(std::clamp(limit_seconds_ / 10, 0.05, 1.0));
  since_ = orphaned_ = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stop_condition_.wait_for(lock, period, [this] { return stop_; })) {
    const Clock::time_point now = Clock::now();
    look_at_launcher(now);
    look_at_wait(now);
  }
}

void Watchdog::look_at_launcher(Clock::time_point now) {
  const int launcher = launcher_.load(std::memory_order_acquire);
  if (launcher == 0 || launcher == int(getppid())) {
    orphaned_ = now;
    return;
  }
  if (now - orphaned_ < std::chrono::duration<double>(patience_seconds_)) return;
  std::fprintf(stderr, "tutti: rank %d on %s: its launcher is gone\n", rank_, host_.c_str());
  _exit(int(ExitCode::io));
}

void Watchdog::look_at_wait(Clock::time_point now) {
  const char* collective = collective_.load(std::memory_order_acquire);
  const std::int64_t wait = waits_.load(std::memory_order_relaxed);
  if (!collective || wait != seen_) {
    seen_ = collective ? wait : -1;
    since_ = now;
    return;
  }
  const double waited = std::chrono::duration<double>(now - since_).count();
  if (waited < limit_seconds_) return;
  std::fprintf(stderr,
               "tutti: hang: rank %d on %s has waited %.0f s in %s at step %lld for another rank\n"
               "  fix: look for the rank that does not say so; comm.timeout sets the limit\n",
               rank_, host_.c_str(), waited, collective, static_cast<long long>(step_.load()));
  std::fflush(stderr);
  _exit(int(ExitCode::hang));
}

}  // namespace tutti
