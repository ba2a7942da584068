// Device memory between ranks by NCCL. Part of the device's library, not of the binary.
#include <chrono>
#include <thread>
#include <vector>

#include <nccl.h>

#include "kernels/core/device_error.h"
#include "kernels/core/device_transport.h"

namespace tutti {
namespace {

// Between two looks at what is under way.
constexpr auto kPause = std::chrono::microseconds(20);

void check(ncclResult_t result, const char* call) {
  if (result != ncclSuccess)
    throw DeviceError(DeviceError::Kind::failed,
                      std::string(call) + ": " + ncclGetErrorString(result));
}

class NcclTransport final : public DeviceTransport {
 public:
  NcclTransport(const std::string& id, int ranks, int rank, cudaStream_t stream) : stream_(stream) {
    ncclUniqueId unique;
    if (id.size() != sizeof(unique.internal))
      throw DeviceError(DeviceError::Kind::failed, "NCCL: an identifier of another length");
    id.copy(unique.internal, sizeof(unique.internal));
    check(ncclCommInitRank(&comm_, ranks, unique, rank), "ncclCommInitRank");
  }
  // Ranks may end at different times, one of them with an error: none waits for the others.
  ~NcclTransport() override { (void)ncclCommAbort(comm_); }
  NcclTransport(const NcclTransport&) = delete;
  NcclTransport& operator=(const NcclTransport&) = delete;

  void exchange(std::span<const Transfer> transfers) override {
    check(ncclGroupStart(), "ncclGroupStart");
    for (const Transfer& t : transfers) {
      if (t.send)
        check(ncclSend(t.data.data(), t.data.size(), ncclFloat, t.peer, comm_, stream_),
              "ncclSend");
      else
        check(ncclRecv(t.data.data(), t.data.size(), ncclFloat, t.peer, comm_, stream_),
              "ncclRecv");
    }
    check(ncclGroupEnd(), "ncclGroupEnd");
  }

  void reduce(std::span<float> values, int root) override {
    check(ncclReduce(values.data(), values.data(), values.size(), ncclFloat, ncclSum, root, comm_,
                     stream_),
          "ncclReduce");
  }

  void broadcast(std::span<float> values, int root) override {
    check(
        ncclBroadcast(values.data(), values.data(), values.size(), ncclFloat, root, comm_, stream_),
        "ncclBroadcast");
  }

  void finish() override {
    for (;;) {
      ncclResult_t state = ncclSuccess;
      check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
      check(state, "NCCL, between ranks");
      const cudaError_t progress = cudaStreamQuery(stream_);
      if (progress == cudaSuccess) return;
      if (progress != cudaErrorNotReady)
        throw DeviceError(DeviceError::Kind::failed,
                          std::string("cudaStreamQuery: ") + cudaGetErrorString(progress));
      std::this_thread::sleep_for(kPause);
    }
  }

 private:
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_;
};

}  // namespace

std::string make_device_transport_id() {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return {id.internal, sizeof(id.internal)};
}

std::unique_ptr<DeviceTransport> make_device_transport(const std::string& id, int ranks, int rank,
                                                       void* stream) {
  return std::make_unique<NcclTransport>(id, ranks, rank, static_cast<cudaStream_t>(stream));
}

}  // namespace tutti
