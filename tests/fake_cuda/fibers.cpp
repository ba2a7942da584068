#include "tests/fake_cuda/fibers.h"

#include <cstdint>

#include <sys/mman.h>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace fake_cuda {
namespace {

constexpr std::size_t kStackBytes = 256 << 10;  // touched only as far as it is used

}  // namespace

#if defined(__x86_64__)

// Saves the registers that a function must keep, leaves the stack pointer at `*from`, goes on at
// `to`. (ucontext asks the system at each change, which takes a hundred times as long.)
extern "C" void fake_cuda_switch(void** from, void* to);
asm(R"(
.text
.globl fake_cuda_switch
.hidden fake_cuda_switch
.type fake_cuda_switch, @function
fake_cuda_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fake_cuda_switch, .-fake_cuda_switch
.hidden fake_cuda_start
.type fake_cuda_start, @function
fake_cuda_start:
  movq %r12, %rdi
  callq *%r13
  ud2
.size fake_cuda_start, .-fake_cuda_start
)");
extern "C" void fake_cuda_start() __attribute__((visibility("hidden")));

struct Fiber::Context {
  void* stack = nullptr;
  void *inside = nullptr, *outside = nullptr;
};

void Fiber::start(const std::function<void()>& work) {
  work_ = &work;
  ended_ = false;
  auto* top =
      reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(context_->stack) + kStackBytes);
  // What fake_cuda_switch takes from there: r15, r14, r13, r12, rbx, rbp and where to return to.
  top -= 9;
  top[2] = reinterpret_cast<std::uint64_t>(&Fiber::enter);
  top[3] = reinterpret_cast<std::uint64_t>(this);
  top[6] = reinterpret_cast<std::uint64_t>(&fake_cuda_start);
  context_->inside = top;
}

bool Fiber::resume() {
  fake_cuda_switch(&context_->outside, context_->inside);
  return !ended_;
}

void Fiber::pause() { fake_cuda_switch(&context_->inside, context_->outside); }

#else

struct Fiber::Context {
  void* stack = nullptr;
  ucontext_t inside, outside;
};

void Fiber::start(const std::function<void()>& work) {
  work_ = &work;
  ended_ = false;
  getcontext(&context_->inside);
  context_->inside.uc_stack.ss_sp = context_->stack;
  context_->inside.uc_stack.ss_size = kStackBytes;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&context_->inside, reinterpret_cast<void (*)()>(+[](unsigned high, unsigned low) {
    enter(reinterpret_cast<Fiber*>(std::uintptr_t(high) << 32 | low));
  }),
              2, unsigned(self >> 32), unsigned(self));
}

bool Fiber::resume() {
  swapcontext(&context_->outside, &context_->inside);
  return !ended_;
}

void Fiber::pause() { swapcontext(&context_->inside, &context_->outside); }

#endif

Fiber::Fiber() : context_(std::make_unique<Context>()) {
  context_->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

Fiber::~Fiber() { munmap(context_->stack, kStackBytes); }

void Fiber::enter(Fiber* fiber) {
  (*fiber->work_)();
  fiber->ended_ = true;
  for (;;) fiber->pause();
}

}  // namespace fake_cuda
