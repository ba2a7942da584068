// Fibers: several stacks on one thread of the system, of which one runs.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace fake_cuda {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes it ready to call `work` from its start. `work` must outlive that, and not throw.
  void start(const std::function<void()>& work);
  // Runs it until it pauses or ends; returns whether it goes on.
  bool resume();
  // Within it: back to where resume() was called.
  void pause();

 private:
  static void enter(Fiber* fiber);

  struct Context;
  std::unique_ptr<Context> context_;
  const std::function<void()>* work_ = nullptr;
  bool ended_ = true;
};

}  // namespace fake_cuda
