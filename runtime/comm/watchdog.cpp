#include "runtime/comm/watchdog.h"

#include <algorithm>
#include <chrono>
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

void Watchdog::watch() {
  using Clock = std::chrono::steady_clock;
  const std::chrono::duration<double> period(std::clamp(limit_seconds_ / 10, 0.05, 1.0));
  std::int64_t seen = -1;
  Clock::time_point since = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stop_condition_.wait_for(lock, period, [this] { return stop_; })) {
    const char* collective = collective_.load(std::memory_order_acquire);
    const std::int64_t wait = waits_.load(std::memory_order_relaxed);
    if (!collective || wait != seen) {
      seen = collective ? wait : -1;
      since = Clock::now();
      continue;
    }
    const double waited = std::chrono::duration<double>(Clock::now() - since).count();
    if (waited < limit_seconds_) continue;
    std::fprintf(
        stderr,
        "tutti: hang: rank %d on %s has waited %.0f s in %s at step %lld for another rank\n"
        "  fix: look for the rank that does not say so; comm.timeout sets the limit\n",
        rank_, host_.c_str(), waited, collective, static_cast<long long>(step_.load()));
    std::fflush(stderr);
    _exit(int(ExitCode::hang));
  }
}

}  // namespace tutti
