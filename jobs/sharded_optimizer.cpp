#include "jobs/sharded_optimizer.h"

#include "jobs/device_optimizer.h"
#include "jobs/host_optimizer.h"

namespace tutti {

std::unique_ptr<ShardedOptimizer> make_sharded_optimizer(Comm& comm, const ArenaLayout& layout,
                                                         std::int64_t leaves,
                                                         const OptimizerOptions& options,
                                                         PhaseTimer& phases,
                                                         DeviceSession* device) {
  if (device != nullptr)
    return std::make_unique<DeviceShardedOptimizer>(comm, *device, layout, leaves, options, phases);
  return std::make_unique<HostOptimizer>(comm, layout, leaves, options, phases);
}

std::vector<Range> slices_of(const ArenaLayout& layout, int ranks) {
  std::vector<Range> slices;
  for (int r = 0; r < ranks; ++r) {
    const Range blocks = part_of(layout.block_count(), ranks, r);
    slices.push_back({blocks.begin * kArenaBlock, blocks.end * kArenaBlock});
  }
  return slices;
}

}  // namespace tutti
