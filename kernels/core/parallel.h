// Loops over threads. The only place where the kernels meet OpenMP.
//
// Nothing computed in such a loop may depend on which thread ran which index: results are then the
// same bytes for any number of threads. Where there are several threads, the body always runs in a
// parallel region, be there a single index, so that a library called from it starts no team.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <type_traits>

namespace tutti {

// Threads that a parallel loop called here would use: OpenMP's setting, or 1 inside such a loop.
int thread_count();

// Index of the calling thread within its parallel loop, 0 outside: below the thread_count() seen
// outside the loop. For picking scratch memory.
int thread_index();

// Loops that the calling thread starts from now on run on it alone. For threads beside the main
// one, which would otherwise bring a team of their own.
void use_one_thread();

namespace detail {

// Runs task(context, thread, threads) once on each thread of a team and waits. The first exception
// (by thread) is thrown again here.
void run_team(void (*task)(void* context, int thread, int threads), void* context);

}  // namespace detail

// body(index) for every index in [0, count), each thread taking one contiguous range. Serial when
// called inside another parallel loop. An exception thrown by body ends its thread's range and is
// thrown again to the caller.
template <class Body>
void parallel_for(std::int64_t count, Body&& body) {
  if (count <= 0) return;
  if (thread_count() == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  struct Context {
    std::int64_t count;
    std::remove_reference_t<Body>* body;
  } context{count, &body};
  detail::run_team(
      [](void* raw, int thread, int threads) {
        const auto& c = *static_cast<Context*>(raw);
        const std::int64_t end = c.count * (thread + 1) / threads;
        for (std::int64_t i = c.count * thread / threads; i < end; ++i) (*c.body)(i);
      },
      &context);
}

// As parallel_for, for indices of uneven cost: each thread takes the next index when it is free,
// in ascending order.
template <class Body>
void parallel_for_dynamic(std::int64_t count, Body&& body) {
  if (count <= 0) return;
  if (thread_count() == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  struct Context {
    std::int64_t count;
    std::remove_reference_t<Body>* body;
    std::atomic<std::int64_t> next{0};
  } context{count, &body};
  detail::run_team(
      [](void* raw, int, int) {
        auto& c = *static_cast<Context*>(raw);
        for (std::int64_t i = c.next++; i < c.count; i = c.next++) (*c.body)(i);
      },
      &context);
}

}  // namespace tutti
