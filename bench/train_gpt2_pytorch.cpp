// Claim train.gpt2_124m.vs_pytorch: a full training step of GPT-2 124M against PyTorch's on the
// same threads (OMP_NUM_THREADS; all, where it is not set):
//
//   bench_train_gpt2_pytorch       (about 10 minutes on 2 cores)
//
// gpt2_trainer.h is our side, peers/train_gpt2_pytorch.py theirs. The peer first looks for its
// quickest way, which takes some minutes; then both take turns, each with a step to warm up and
// five that count. The variable TUTTI_PYTHON names the python3 that has the package `torch`.

#include <cmath>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/claim.h"
#include "bench/gpt2_trainer.h"
#include "bench/peer.h"
#include "kernels/core/parallel.h"
#include "runtime/base/error.h"

namespace tutti::bench {
namespace {

constexpr const char* kClaim = "train.gpt2_124m.vs_pytorch";
constexpr double kTarget = 1.5;
constexpr int kRounds = 5;

// What one side's steps took, and the losses before them.
struct Steps {
  std::vector<double> seconds, losses;

  double fall() const { return losses.front() - losses.back(); }
  std::string text() const {
    return fmt::format("{:.0f} tokens/s, loss {:.2f} to {:.2f}",
                       double(Gpt2Trainer::kTokens) / median(seconds), losses.front(),
                       losses.back());
  }
};

std::string start_of_peer() {
  using T = Gpt2Trainer;
  return fmt::format("'" TUTTI_BENCH_PEER "' {} {} {} {} {} {} {}", T::kVocabulary, T::kWidth,
                     T::kLayers, T::kHeads, T::kLength, T::kSequences, thread_count());
}

void take_step(PeerProcess& peer, Steps& steps) {
  peer.ask("step");
  double seconds = 0, loss = 0;
  const std::string answer = peer.answer();
  if (!(std::istringstream(answer) >> seconds >> loss))
    throw Error(ExitCode::unavailable, "its answer is no time and loss: " + answer, "the peer");
  steps.seconds.push_back(seconds);
  steps.losses.push_back(loss);
}

void take_step(Gpt2Trainer& trainer, Steps& steps) {
  steps.seconds.push_back(seconds([&] { trainer.step(); }));
  steps.losses.push_back(trainer.loss());
}

// The same training from starts that differ by chance alone: else the two do not do the same work.
void check_losses(const Steps& ours, const Steps& theirs) {
  const bool alike = std::abs(ours.losses.front() - theirs.losses.front()) < 0.2 &&
                     ours.fall() > 0 && std::abs(ours.fall() - theirs.fall()) < 0.2 * ours.fall();
  if (!alike)
    throw Error(ExitCode::bug,
                fmt::format("ours has {}; PyTorch has {}", ours.text(), theirs.text()), kClaim);
}

void run() {
  PeerProcess peer(start_of_peer());
  const std::string way = peer.answer();
  Gpt2Trainer trainer;
  Steps ours, theirs;
  for (int round = 0; round < kRounds + 1; ++round) {
    take_step(peer, theirs);
    take_step(trainer, ours);
  }
  check_losses(ours, theirs);
  for (Steps* steps : {&ours, &theirs}) steps->seconds.erase(steps->seconds.begin());
  print_claim(kClaim, median(theirs.seconds) / median(ours.seconds), kTarget,
              fmt::format("ours, {}, {}; PyTorch {}, {}; {} threads",
                          std::string(name_of(trainer.decoder().compute())), ours.text(), way,
                          theirs.text(), thread_count()));
}

}  // namespace
}  // namespace tutti::bench

int main() {
  using namespace tutti::bench;
  try {
    if (has_package("torch"))
      run();
    else
      print_skipped(kClaim, lacks_package("torch"));
    return 0;
  } catch (const tutti::Error& e) {
    std::fprintf(stderr, "bench_train_gpt2_pytorch: %s\n", e.what());
    return int(e.code());
  }
}
