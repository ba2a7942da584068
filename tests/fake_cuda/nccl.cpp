#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include <mpi.h>
#include <nccl.h>

struct ncclComm {
  MPI_Comm mpi;
};

namespace {

// MPI sees copies in the host's memory: device memory is closed while it waits.
struct Transfer {
  void* device;
  std::vector<float> host;
  bool receives;
};
std::deque<Transfer> group;
std::vector<MPI_Request> requests;

std::vector<float> host_copy(const void* device, std::size_t count) {
  const fake_cuda::DeviceAccess access;
  const auto* values = static_cast<const float*>(device);
  return {values, values + count};
}
void put(const std::vector<float>& host, void* device) {
  const fake_cuda::DeviceAccess access;
  std::ranges::copy(host, static_cast<float*>(device));
}

ncclResult_t result_of(int mpi) { return mpi == MPI_SUCCESS ? ncclSuccess : ncclSystemError; }

}  // namespace

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclSuccess ? "no error" : "system error";
}
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::memset(id->internal, 'x', sizeof(id->internal));
  return ncclSuccess;
}
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int, ncclUniqueId id, int) {
  if (id.internal[127] != 'x') return ncclSystemError;
  *comm = new ncclComm;
  return result_of(MPI_Comm_dup(MPI_COMM_WORLD, &(*comm)->mpi));
}
// The communicator stays until MPI's end, as those of ranks that fail would.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t* state) {
  *state = ncclSuccess;
  return ncclSuccess;
}
ncclResult_t ncclGroupStart() {
  group.clear();
  requests.clear();
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  const int done = MPI_Waitall(int(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  for (const Transfer& t : group)
    if (t.receives) put(t.host, t.device);
  return result_of(done);
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t, int peer,
                      ncclComm_t comm, cudaStream_t) {
  Transfer& t = group.emplace_back(Transfer{nullptr, host_copy(data, count), false});
  return result_of(MPI_Isend(t.host.data(), int(count), MPI_FLOAT, peer, 0, comm->mpi,
                             &requests.emplace_back(MPI_REQUEST_NULL)));
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t) {
  Transfer& t = group.emplace_back(Transfer{data, std::vector<float>(count), true});
  return result_of(MPI_Irecv(t.host.data(), int(count), MPI_FLOAT, peer, 0, comm->mpi,
                             &requests.emplace_back(MPI_REQUEST_NULL)));
}
ncclResult_t ncclReduce(const void* from, void* to, std::size_t count, ncclDataType_t, ncclRedOp_t,
                        int root, ncclComm_t comm, cudaStream_t) {
  int rank = 0;
  MPI_Comm_rank(comm->mpi, &rank);
  const std::vector<float> mine = host_copy(from, count);
  std::vector<float> sum(count);
  const int done =
      MPI_Reduce(mine.data(), sum.data(), int(count), MPI_FLOAT, MPI_SUM, root, comm->mpi);
  if (rank == root) put(sum, to);
  return result_of(done);
}
ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t, int root,
                           ncclComm_t comm, cudaStream_t) {
  std::vector<float> values = host_copy(from, count);
  const int done = MPI_Bcast(values.data(), int(count), MPI_FLOAT, root, comm->mpi);
  put(values, to);
  return result_of(done);
}
