#include "runtime/comm/comm.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>

#include <mpi.h>
#include <nlohmann/json.hpp>

#include "runtime/base/check.h"
#include "runtime/comm/watchdog.h"

namespace tutti {

struct Comm::State {
  MPI_Comm comm = MPI_COMM_NULL;
  std::unique_ptr<Watchdog> watchdog;
};

namespace {

// MPI counts are ints: longer messages travel in pieces of this many bytes.
constexpr std::int64_t kPiece = std::int64_t(1) << 30;

void ok(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(ExitCode::io,
              std::string(call) + " failed: " + std::string(text, std::size_t(length)), "MPI",
              "a rank or the network may be gone; submit the same command again");
}

// By mpirun or srun, which Open MPI or PMIx tells of.
bool is_launched() { return std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_RANK"); }

// A Slurm task that was started without a launcher that MPI understands believes to be alone.
void refuse_wrong_launch(int size) {
  const char* tasks = std::getenv("SLURM_NTASKS");
  if (size > 1 || !tasks || std::atoi(tasks) <= 1) return;
  if (is_launched()) return;
  throw Error(ExitCode::usage,
              "Slurm reserved " + std::string(tasks) + " tasks, but MPI sees a world of one rank",
              "launch", "start with srun --mpi=pmix, or with mpirun inside the batch script");
}

}  // namespace

Comm::Comm(int* argc, char*** argv) : state_(std::make_unique<State>()) {
  int provided = 0;
  ok(MPI_Init_thread(argc, argv, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  may_delegate_ = provided >= MPI_THREAD_SERIALIZED;
  ok(MPI_Comm_dup(MPI_COMM_WORLD, &state_->comm), "MPI_Comm_dup");
  ok(MPI_Comm_set_errhandler(state_->comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  ok(MPI_Comm_rank(state_->comm, &rank_), "MPI_Comm_rank");
  ok(MPI_Comm_size(state_->comm, &size_), "MPI_Comm_size");
  refuse_wrong_launch(size_);
  find_nodes();
}

void Comm::find_nodes() {
  char name[MPI_MAX_PROCESSOR_NAME];
  int length = 0;
  ok(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name");
  const char* given = std::getenv("TUTTI_NODE");
  host_ = given && *given ? given : std::string(name, std::size_t(length));
  std::map<std::string, int> nodes;
  const std::vector<std::string> hosts = all_gather_strings(host_);
  for (int r = 0; r < size_; ++r) {
    nodes_of_ranks_.push_back(
        nodes.emplace(hosts[std::size_t(r)], int(nodes.size())).first->second);
    if (hosts[std::size_t(r)] != host_) continue;
    ++local_size_;
    if (r < rank_) ++local_rank_;
  }
  node_count_ = int(nodes.size());
}

Comm::~Comm() {
  state_->watchdog.reset();
  MPI_Comm_free(&state_->comm);
  MPI_Finalize();
}

void Comm::watch(double seconds) {
  state_->watchdog = std::make_unique<Watchdog>(rank_, host_, seconds);
  if (is_launched()) state_->watchdog->end_with_launcher();
}

void Comm::set_step(std::int64_t step) {
  if (state_->watchdog) state_->watchdog->set_step(step);
}

void Comm::barrier() {
  Watchdog::Wait wait(state_->watchdog.get(), "barrier");
  ok(MPI_Barrier(state_->comm), "MPI_Barrier");
}

void Comm::broadcast_bytes(std::span<std::byte> data, int root) {
  Watchdog::Wait wait(state_->watchdog.get(), "broadcast");
  for (std::int64_t at = 0; at < std::int64_t(data.size()); at += kPiece) {
    const int count = int(std::min(kPiece, std::int64_t(data.size()) - at));
    ok(MPI_Bcast(data.data() + at, count, MPI_BYTE, root, state_->comm), "MPI_Bcast");
  }
}

std::string Comm::broadcast_string(const std::string& text, int root) {
  std::int64_t length = std::int64_t(text.size());
  broadcast(std::span(&length, 1), root);
  std::string result = rank_ == root ? text : std::string(std::size_t(length), '\0');
  broadcast(std::span(result.data(), result.size()), root);
  return result;
}

namespace {

template <class T>
T reduce_one(MPI_Comm comm, T value, MPI_Datatype type, MPI_Op op) {
  T result = value;
  ok(MPI_Allreduce(&value, &result, 1, type, op, comm), "MPI_Allreduce");
  return result;
}

}  // namespace

std::int64_t Comm::all_reduce_sum(std::int64_t value) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  return reduce_one(state_->comm, value, MPI_INT64_T, MPI_SUM);
}

std::int64_t Comm::all_reduce_min(std::int64_t value) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  return reduce_one(state_->comm, value, MPI_INT64_T, MPI_MIN);
}

std::int64_t Comm::all_reduce_max(std::int64_t value) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  return reduce_one(state_->comm, value, MPI_INT64_T, MPI_MAX);
}

double Comm::all_reduce_max(double value) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  return reduce_one(state_->comm, value, MPI_DOUBLE, MPI_MAX);
}

void Comm::all_reduce_sum(std::span<std::int64_t> values) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  CHECK(values.size_bytes() < std::size_t(kPiece));
  ok(MPI_Allreduce(MPI_IN_PLACE, values.data(), int(values.size()), MPI_INT64_T, MPI_SUM,
                   state_->comm),
     "MPI_Allreduce");
}

void Comm::all_reduce_min(std::span<float> values) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-reduce");
  CHECK(values.size_bytes() < std::size_t(kPiece));
  ok(MPI_Allreduce(MPI_IN_PLACE, values.data(), int(values.size()), MPI_FLOAT, MPI_MIN,
                   state_->comm),
     "MPI_Allreduce");
}

std::vector<std::int64_t> Comm::gather_counts(std::int64_t mine) {
  Watchdog::Wait wait(state_->watchdog.get(), "all-gather");
  std::vector<std::int64_t> all(std::size_t(size_), 0);
  ok(MPI_Allgather(&mine, 1, MPI_INT64_T, all.data(), 1, MPI_INT64_T, state_->comm),
     "MPI_Allgather");
  return all;
}

void Comm::all_gather_bytes(std::span<const std::byte> mine, std::span<std::byte> all,
                            std::span<const std::int64_t> bytes) {
  CHECK(std::int64_t(bytes.size()) == size_ &&
        std::int64_t(mine.size()) == bytes[std::size_t(rank_)]);
  std::vector<int> counts, places;
  std::int64_t at = 0, mine_at = 0;
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) mine_at = at;
    counts.push_back(int(bytes[std::size_t(r)]));
    places.push_back(int(at));
    at += bytes[std::size_t(r)];
  }
  CHECK(at == std::int64_t(all.size()));
  if (mine.data() != all.data() + mine_at)
    std::copy(mine.begin(), mine.end(), all.begin() + mine_at);
  if (at <= std::numeric_limits<int>::max()) {
    Watchdog::Wait wait(state_->watchdog.get(), "all-gather");
    ok(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, all.data(), counts.data(), places.data(), MPI_BYTE,
                      state_->comm),
       "MPI_Allgatherv");
    return;
  }
  at = 0;
  for (int r = 0; r < size_; at += bytes[std::size_t(r)], ++r)
    broadcast_bytes(all.subspan(std::size_t(at), std::size_t(bytes[std::size_t(r)])), r);
}

std::vector<std::string> Comm::all_gather_strings(const std::string& mine) {
  const std::vector<std::int64_t> lengths = gather_counts(std::int64_t(mine.size()));
  const std::vector<char> joined = all_gather(std::span<const char>(mine));
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (std::int64_t length : lengths) {
    texts.emplace_back(joined.data() + at, std::size_t(length));
    at += std::size_t(length);
  }
  return texts;
}

ByteLists Comm::all_to_all(const ByteLists& to_ranks) {
  CHECK(std::int64_t(to_ranks.size()) == size_);
  std::vector<std::int64_t> out, in(std::size_t(size_), 0);
  for (const auto& list : to_ranks) out.push_back(std::int64_t(list.size()));
  {
    Watchdog::Wait wait(state_->watchdog.get(), "all-to-all");
    ok(MPI_Alltoall(out.data(), 1, MPI_INT64_T, in.data(), 1, MPI_INT64_T, state_->comm),
       "MPI_Alltoall");
  }
  ByteLists from_ranks(std::size_t(size_), std::vector<std::byte>{});
  std::vector<Transfer> transfers;
  for (int r = 0; r < size_; ++r) {
    const std::size_t i = std::size_t(r);
    if (r == rank_) {
      from_ranks[i] = to_ranks[i];
      continue;
    }
    from_ranks[i].resize(std::size_t(in[i]));
    transfers.push_back({r, from_ranks[i], false});
    // MPI does not write to what it sends.
    transfers.push_back(
        {r, {const_cast<std::byte*>(to_ranks[i].data()), to_ranks[i].size()}, true});
  }
  local_exchange(transfers);
  return from_ranks;
}

void Comm::local_exchange(std::span<const Transfer> transfers) {
  Pending pending = local_start(transfers);
  wait(pending);
}

struct Comm::Pending::Requests {
  std::vector<MPI_Request> all;
};

Comm::Pending::Pending() = default;
Comm::Pending::~Pending() = default;
Comm::Pending::Pending(Pending&&) noexcept = default;
Comm::Pending& Comm::Pending::operator=(Pending&&) noexcept = default;

bool Comm::Pending::local_done() {
  if (!requests_) return true;
  int done = 0;
  ok(MPI_Testall(int(requests_->all.size()), requests_->all.data(), &done, MPI_STATUSES_IGNORE),
     "MPI_Testall");
  if (done) requests_.reset();
  return done != 0;
}

Comm::Pending Comm::local_start(std::span<const Transfer> transfers) {
  Pending pending;
  pending.requests_ = std::make_unique<Pending::Requests>();
  std::vector<MPI_Request>& requests = pending.requests_->all;
  for (const bool sending : {false, true})
    for (const Transfer& t : transfers) {
      if (t.send != sending) continue;
      for (std::int64_t at = 0; at < std::int64_t(t.data.size()); at += kPiece) {
        const int count = int(std::min(kPiece, std::int64_t(t.data.size()) - at));
        requests.push_back(MPI_REQUEST_NULL);
        if (t.send)
          ok(MPI_Isend(t.data.data() + at, count, MPI_BYTE, t.peer, t.tag, state_->comm,
                       &requests.back()),
             "MPI_Isend");
        else
          ok(MPI_Irecv(t.data.data() + at, count, MPI_BYTE, t.peer, t.tag, state_->comm,
                       &requests.back()),
             "MPI_Irecv");
      }
    }
  return pending;
}

Comm::Pending Comm::start_reduce(std::span<float> values, int root) {
  CHECK(values.size() <= std::size_t(std::numeric_limits<int>::max()));
  Pending pending;
  pending.requests_ = std::make_unique<Pending::Requests>();
  pending.requests_->all.push_back(MPI_REQUEST_NULL);
  const bool mine = rank_ == root;
  ok(MPI_Ireduce(mine ? MPI_IN_PLACE : values.data(), mine ? values.data() : nullptr,
                 int(values.size()), MPI_FLOAT, MPI_SUM, root, state_->comm,
                 pending.requests_->all.data()),
     "MPI_Ireduce");
  return pending;
}

void Comm::wait(Pending& pending) {
  if (!pending.requests_) return;
  Watchdog::Wait wait(state_->watchdog.get(), "exchange");
  std::vector<MPI_Request>& requests = pending.requests_->all;
  ok(MPI_Waitall(int(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  pending.requests_.reset();
}

void Comm::watched(const char* collective, const std::function<void()>& local_wait) {
  Watchdog::Wait wait(state_->watchdog.get(), collective);
  local_wait();
}

void Comm::all_ok(const std::optional<Error>& mine) {
  const std::int64_t failed = all_reduce_min(mine ? rank_ : size_);
  if (failed == size_) return;
  nlohmann::json text;
  if (mine) text = {int(mine->code()), mine->problem(), mine->place(), mine->remedy()};
  const std::string told = broadcast_string(
      text.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), int(failed));
  const auto fields = nlohmann::json::parse(told);
  throw Error(ExitCode(fields[0].get<int>()), fields[1], fields[2], fields[3]).as_agreed();
}

void Comm::attempt(const std::function<void()>& local_step) {
  std::optional<Error> failure;
  try {
    local_step();
  } catch (const Error& e) {
    failure = e;
  } catch (const std::bad_alloc&) {
    failure = Error(ExitCode::io, "out of memory", "rank " + std::to_string(rank_) + " on " + host_,
                    "use more nodes, or lower memory_limit");
  }
  all_ok(failure);
}

void Comm::local_abort(ExitCode code) {
  MPI_Abort(state_->comm, int(code));
  std::_Exit(int(code));
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  return std::string(text, std::size_t(length)).substr(0, std::string(text).find(','));
}

}  // namespace tutti
