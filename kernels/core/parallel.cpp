#include "kernels/core/parallel.h"

#include <exception>
#include <vector>

#include <omp.h>

#ifdef __SANITIZE_THREAD__
// libgomp is not instrumented: its fork and join must be told to the sanitizer by hand.
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#define TUTTI_ACQUIRE(address) __tsan_acquire(address)
#define TUTTI_RELEASE(address) __tsan_release(address)
#define TUTTI_UNSANITIZED __attribute__((no_sanitize("thread")))
#else
#define TUTTI_ACQUIRE(address) static_cast<void>(address)
#define TUTTI_RELEASE(address) static_cast<void>(address)
#define TUTTI_UNSANITIZED
#endif

namespace tutti {

int thread_count() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

int thread_index() { return omp_get_thread_num(); }

void use_one_thread() { omp_set_num_threads(1); }

namespace detail {

namespace {

struct Team {
  void (*task)(void*, int, int);
  void* context;
  std::vector<std::exception_ptr> failures;
};

void run_one(Team& team, int thread, int threads) {
  try {
    team.task(team.context, thread, threads);
  } catch (...) {
    team.failures[thread] = std::current_exception();
  }
}

// Not instrumented itself, since OpenMP hands the region its variables before the acquire below.
TUTTI_UNSANITIZED void fork_and_join(Team& team) {
  Team* const shared = &team;
  TUTTI_RELEASE(shared);
#pragma omp parallel firstprivate(shared)
  {
    TUTTI_ACQUIRE(shared);
    run_one(*shared, omp_get_thread_num(), omp_get_num_threads());
    TUTTI_RELEASE(shared);
  }
  TUTTI_ACQUIRE(shared);
}

}  // namespace

void run_team(void (*task)(void*, int, int), void* context) {
  Team team{task, context, std::vector<std::exception_ptr>(thread_count())};
  fork_and_join(team);
  for (const std::exception_ptr& failure : team.failures)
    if (failure) std::rethrow_exception(failure);
}

}  // namespace detail
}  // namespace tutti
