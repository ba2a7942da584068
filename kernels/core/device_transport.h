// What crosses between the devices of ranks, in the queue of the rank's device: behind the work
// that was put there before, in front of what comes after, without the host waiting.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace tutti {

// Spans are of the device's memory. Every rank makes the same calls in the same order. All throw
// DeviceError.
class DeviceTransport {
 public:
  virtual ~DeviceTransport() = default;

  struct Transfer {
    int peer = 0;
    std::span<float> data;
    bool send = false;
  };
  // All at once. Between two ranks, what one sends and the other takes pair up in order.
  virtual void exchange(std::span<const Transfer> transfers) = 0;

  // Sums over all ranks in an order of the transport's choice, into the root's `values`.
  virtual void reduce(std::span<float> values, int root) = 0;

  // The root's values on every rank.
  virtual void broadcast(std::span<float> values, int root) = 0;

  // Waits until all that was asked for has crossed; throws where a peer or the network failed.
  virtual void finish() = 0;
};

// Made within the device's library, over its way between GPUs; `stream` is the device's queue.
std::string make_device_transport_id();
std::unique_ptr<DeviceTransport> make_device_transport(const std::string& id, int ranks, int rank,
                                                       void* stream);

}  // namespace tutti
