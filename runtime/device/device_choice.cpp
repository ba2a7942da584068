#include "runtime/device/device_choice.h"

#include <fmt/format.h>

#include "runtime/base/log.h"
#include "runtime/device/device_library.h"

namespace tutti {
namespace {

// All ranks throw alike.
void check_choices(Comm& comm, const DeviceDescription& mine) {
  const std::vector<std::string> places = comm.all_gather_strings(std::to_string(comm.node()) +
                                                                  " " + mine.place),
                                 names = comm.all_gather_strings(mine.name),
                                 hosts = comm.all_gather_strings(comm.host());
  for (std::size_t r = 0; r < places.size(); ++r) {
    if (names[r] != names[0])
      throw Error(ExitCode::unavailable,
                  fmt::format("rank 0 has a {}, rank {} a {}", names[0], r, names[r]), "device",
                  "ask for GPUs of one model")
          .as_agreed();
    for (std::size_t other = 0; other < r; ++other)
      if (places[other] == places[r])
        throw Error(ExitCode::unavailable,
                    fmt::format("ranks {} and {} would share a GPU of {}", other, r, hosts[r]),
                    "device", "start as many ranks a node as there are GPUs")
            .as_agreed();
  }
}

}  // namespace

std::unique_ptr<DeviceSession> open_device(Comm& comm) {
  DeviceDescription mine;
  int index = 0;
  const auto on_device = [&](const auto& step) {
    comm.attempt([&] {
      try {
        step();
      } catch (const DeviceError& e) {
        throw error_of(e);
      }
    });
  };
  on_device([&] {
    const auto devices = load_device_library().devices();
    index = comm.local_rank() % int(devices.size());
    mine = devices[std::size_t(index)];
  });
  check_choices(comm, mine);
  std::unique_ptr<DeviceSession> session;
  on_device([&] { session = load_device_library().open(index); });
  log_info("{} GPU{}: {}, {:.0f} GB", comm.size(), comm.size() == 1 ? "" : "s", mine.name,
           double(mine.memory_bytes) / 1e9);
  return session;
}

}  // namespace tutti
