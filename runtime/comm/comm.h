// The world of ranks: a communicator of our own, on which every call is checked and watched.
// Functions are collective (every rank calls them in the same order) unless named local_*.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runtime/base/error.h"

namespace tutti {

// Bytes that this rank has for, or got from, each rank.
using ByteLists = std::vector<std::vector<std::byte>>;

// A handle on the ranks of a job. Not copyable; one thread at a time may use it: the main thread,
// or, where local_may_delegate(), one that the main thread has started and waits for.
// Sizes are 64-bit throughout. Failures of MPI itself are Errors with ExitCode::io.
class Comm {
 public:
  // Starts MPI. There is one Comm in a process; its destructor ends MPI.
  Comm(int* argc, char*** argv);
  ~Comm();
  Comm(const Comm&) = delete;
  Comm& operator=(const Comm&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_root() const { return rank_ == 0; }
  const std::string& host() const { return host_; }
  // Nodes, numbered by their lowest ranks: ranks of one host name. The environment variable
  // TUTTI_NODE, where it is set, takes the host name's place, so that a machine can pass for
  // several.
  int node() const { return nodes_of_ranks_[std::size_t(rank_)]; }
  int node_count() const { return node_count_; }
  std::span<const int> nodes_of_ranks() const { return nodes_of_ranks_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this node
  int local_size() const { return local_size_; }
  bool is_node_root() const { return local_rank_ == 0; }

  void barrier();

  // The root's values on every rank.
  void broadcast_bytes(std::span<std::byte> data, int root = 0);
  template <class T>
  void broadcast(std::span<T> data, int root = 0) {
    static_assert(std::is_trivially_copyable_v<T>);
    broadcast_bytes(std::as_writable_bytes(data), root);
  }
  std::string broadcast_string(const std::string& text, int root = 0);

  // Exact reductions only (integers, minima, maxima); sums of floats go through tree_sum.h.
  std::int64_t all_reduce_sum(std::int64_t value);
  std::int64_t all_reduce_min(std::int64_t value);
  std::int64_t all_reduce_max(std::int64_t value);
  double all_reduce_max(double value);
  void all_reduce_sum(std::span<std::int64_t> values);
  void all_reduce_min(std::span<float> values);  // none of which is a NaN

  // Each rank's text, on every rank, in rank order.
  std::vector<std::string> all_gather_strings(const std::string& mine);
  // Each rank's values, concatenated in rank order, on every rank; the counts may differ.
  template <class T>
  std::vector<T> all_gather(std::span<const T> mine) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<std::int64_t> bytes = gather_counts(std::int64_t(mine.size_bytes()));
    std::int64_t total = 0;
    for (std::int64_t b : bytes) total += b;
    std::vector<T> all(std::size_t(total) / sizeof(T));
    all_gather_bytes(std::as_bytes(mine), std::as_writable_bytes(std::span(all)), bytes);
    return all;
  }
  // As above into a caller's array, where this rank's part may already stand in place.
  // `bytes[r]` is the length of rank r's part; the parts lie in rank order.
  void all_gather_bytes(std::span<const std::byte> mine, std::span<std::byte> all,
                        std::span<const std::int64_t> bytes);

  // Hands to_ranks[r] to rank r; returns what each rank had for this one.
  ByteLists all_to_all(const ByteLists& to_ranks);

  // Point to point, of known length; both sides of an exchange may be posted in one call, without
  // deadlock.
  struct Transfer {
    int peer;
    std::span<std::byte> data;
    bool send;
    int tag = 0;
  };
  void local_exchange(std::span<const Transfer> transfers);

  // Communication that was started and goes on while its rank does something else, but only while
  // someone asks for it. Its memory must stay until it is done. Letting go of an unfinished one
  // leaves it to the end of the job.
  class Pending {
   public:
    Pending();
    ~Pending();
    Pending(Pending&&) noexcept;
    Pending& operator=(Pending&&) noexcept;
    // Makes progress, does not wait.
    bool local_done();

   private:
    friend class Comm;
    struct Requests;
    std::unique_ptr<Requests> requests_;
  };
  Pending local_start(std::span<const Transfer> transfers);
  // The sum of all ranks' values, in an order of MPI's choice, into the root's.
  Pending start_reduce(std::span<float> values, int root);
  void wait(Pending& pending);

  // Whether another thread may call while the main thread does not.
  bool local_may_delegate() const { return may_delegate_; }
  // Runs a wait for other ranks that is not in here, watched under the name of `collective`, a
  // string literal.
  void watched(const char* collective, const std::function<void()>& local_wait);

  // Ends a rank-local step that can fail: where any rank brings an Error, all ranks throw the one
  // of the lowest such rank, marked as agreed, so that nobody waits for the dead in the next
  // collective.
  void all_ok(const std::optional<Error>& mine);

  // Runs a rank-local step, then all_ok. The step must not communicate.
  void attempt(const std::function<void()>& local_step);

  // Ends every rank of the job now with this exit code. Local; does not return.
  [[noreturn]] void local_abort(ExitCode code);

  // What a collective is called in the watchdog's message, together with the step (see watchdog.h).
  void set_step(std::int64_t step);
  // Starts the watchdog: a collective that takes longer than `seconds` ends the job with
  // ExitCode::hang. 0: none.
  void watch(double seconds);

 private:
  std::vector<std::int64_t> gather_counts(std::int64_t mine);
  void find_nodes();

  struct State;
  std::unique_ptr<State> state_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 0, node_count_ = 0;
  std::vector<int> nodes_of_ranks_;
  std::string host_;
  bool may_delegate_ = false;
};

// The MPI library's name and version. Local; works before Comm.
std::string mpi_library();

}  // namespace tutti
