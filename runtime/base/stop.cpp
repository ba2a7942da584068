#include "runtime/base/stop.h"

#include <atomic>
#include <chrono>

#include <signal.h>
#include <string.h>

namespace tutti {
namespace {

using Clock = std::chrono::steady_clock;

volatile sig_atomic_t caught_signal = 0;
Clock::time_point deadline = Clock::time_point::max();

volatile sig_atomic_t checkpoint_requested = 0;

extern "C" void on_checkpoint_signal(int) { checkpoint_requested = 1; }

extern "C" void on_stop_signal(int signal_number) {
  if (caught_signal == signal_number && (signal_number == SIGINT || signal_number == SIGTERM)) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
  }
  caught_signal = signal_number;
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int s : {SIGTERM, SIGUSR2, SIGINT}) sigaction(s, &action, nullptr);
  action.sa_handler = on_checkpoint_signal;
  sigaction(SIGUSR1, &action, nullptr);
}

void set_time_limit(double seconds) {
  if (seconds > 0)
    deadline = Clock::now() +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

bool stop_requested() { return caught_signal != 0 || Clock::now() >= deadline; }

const char* stop_reason() {
  switch (caught_signal) {
    case 0:
      return Clock::now() >= deadline ? "--max-time" : "";
    case SIGTERM:
      return "SIGTERM";
    case SIGUSR2:
      return "SIGUSR2";
    case SIGINT:
      return "SIGINT";
    default:
      return "a signal";
  }
}

bool take_checkpoint_request() {
  const bool requested = checkpoint_requested != 0;
  checkpoint_requested = 0;
  return requested;
}

}  // namespace tutti
