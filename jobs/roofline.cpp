#include "jobs/roofline.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "jobs/version.h"
#include "kernels/core/arena.h"
#include "kernels/core/parallel.h"
#include "kernels/ops/product.h"
#include "runtime/io/user_cache.h"
#include "runtime/topology/hardware.h"

namespace tutti {
namespace {

constexpr std::chrono::milliseconds kLongTime{200}, kShortTime{20};

constexpr const char* kRate = "flops_per_second";

// Empty where the machine has no name to remember it by.
std::string cache_key(const Comm& comm, DType type) {
  const std::string processor = processor_name();
  if (processor.empty()) return {};
  return fmt::format("roofline of {} in {}: {} ranks of {} threads, tutti {}", processor,
                     name_of(type), comm.local_size(), thread_count(), kVersion);
}

// 0 where there is none.
double kept_rate(const std::string& key) {
  if (key.empty()) return 0;
  const std::optional<nlohmann::json> kept = read_user_cache(key);
  const bool has_rate = kept && kept->contains(kRate) && kept->at(kRate).is_number();
  return has_rate ? kept->at(kRate).get<double>() : 0;
}

}  // namespace

double measure_product_rate(DType type, std::chrono::milliseconds time) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kRows = 256, kInner = 512, kOuter = 512, kPanels = 8;
  const auto product = make_packed_product({.rows = kRows,
                                            .inner = kInner,
                                            .outer = kOuter,
                                            .x_stride = kInner,
                                            .y_stride = kOuter,
                                            .b_stride = kInner,
                                            .in = type});
  AlignedBuffer<float> weights(kOuter * kInner), y(kPanels * kRows * kOuter);
  AlignedBuffer<std::byte> x(kPanels * kRows * kInner * std::int64_t(sizeof(float)));
  product->pack(weights.data(), DType::f32);
  const std::int64_t scratch_bytes = std::max<std::int64_t>(product->scratch_bytes(), 64);
  AlignedBuffer<std::byte> scratch(scratch_bytes * kPanels);
  const auto pass = [&] {
    parallel_for(kPanels, [&](std::int64_t p) {
      product->run(x.data() + std::size_t(p * kRows * kInner) * size_of(type),
                   y.data() + p * kRows * kOuter, scratch.data() + p * scratch_bytes);
    });
  };
  pass();
  double best = 1e9;
  const auto begin = Clock::now();
  do {
    const auto start = Clock::now();
    pass();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() - begin < time);
  return 2.0 * kPanels * kRows * kInner * kOuter / best;
}

double product_rate_of_all_ranks(Comm& comm, DType type) {
  std::string key;
  double kept = 0;
  if (comm.is_root()) kept = kept_rate(key = cache_key(comm, type));
  comm.broadcast(std::span(&kept, 1));
  // All ranks at the same time, as they will train. What was kept may be of a busy machine.
  double rate = measure_product_rate(type, kept > 0 ? kShortTime : kLongTime);
  if (!key.empty() && rate > kept) write_user_cache(key, {{kRate, rate}});
  rate = std::max(rate, kept);
  comm.broadcast(std::span(&rate, 1));
  return double(comm.size()) * rate;
}

}  // namespace tutti
