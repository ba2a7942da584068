// Claim train.gpt2_124m.roofline: a full training step of GPT-2 124M against its matrix products
// alone.
//
// The limit is the list of products with weight matrices in that step; gpt2_trainer.h says what
// else is in it.

#include <cstdio>
#include <string>
#include <vector>

#include "bench/claim.h"
#include "bench/gpt2_trainer.h"
#include "bench/products.h"
#include "kernels/core/parallel.h"

namespace tutti::bench {
namespace {

constexpr int kRounds = 5;

void run() {
  Gpt2Trainer trainer;
  Products products(trainer.decoder().compute());
  products.add(trainer.decoder().forward_products(Gpt2Trainer::kLength), Gpt2Trainer::kSequences);
  products.add(trainer.decoder().backward_products(Gpt2Trainer::kLength), Gpt2Trainer::kSequences);
  trainer.step();
  products.run();
  std::vector<double> steps, limits;
  for (int round = 0; round < kRounds; ++round) {
    limits.push_back(seconds([&] { products.run(); }));
    steps.push_back(seconds([&] { trainer.step(); }));
  }
  const double step = median(steps), limit = median(limits);
  const auto tokens = double(Gpt2Trainer::kTokens);
  char detail[256];
  std::snprintf(detail, sizeof(detail),
                "%s, %.0f tokens/s, %.1f s a step, %.1f s its weight products in oneDNN (%.2f "
                "TFLOP/s), %d threads, loss %.3f",
                std::string(name_of(trainer.decoder().compute())).c_str(), tokens / step, step,
                limit, double(trainer.decoder().product_flops(Gpt2Trainer::kTokens)) / limit / 1e12,
                thread_count(), trainer.loss());
  print_claim("train.gpt2_124m.roofline", limit / step, 0.70, detail);
}

}  // namespace
}  // namespace tutti::bench

int main() { tutti::bench::run(); }
