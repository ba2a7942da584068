// Claims about checkpoints of GPT-2 124M with AdamW, 1.5 GB of state, on one rank:
//
//   checkpoint.throughput_kept   the share of a minute that training keeps when one checkpoint is
//                                taken in it, beyond the time that copying the state takes by
//                                itself
//   checkpoint.write             a checkpoint, checksums and syncing included, against dd writing
//   as
//                                many bytes with direct I/O
//   checkpoint.restore           reading it back, verified, against dd reading as many bytes with
//                                direct I/O
//
//   bench_checkpoint [FOLDER]    (FOLDER, default here, is on the disk to measure: 5 GiB for a
//   while)

#include "runtime/checkpoint/checkpoint.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "bench/claim.h"
#include "bench/gpt2_trainer.h"
#include "kernels/core/parallel.h"
#include "runtime/comm/comm.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 9;
constexpr int kSequences = 4;  // of a timed piece of training: longer than a write takes

// Files are read from the disk again.
void forget(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const int file = open(entry.path().c_str(), O_RDONLY);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

class Bench {
 public:
  Bench(Comm& comm, fs::path folder)
      : comm_(comm),
        folder_(std::move(folder)),
        checkpoints_(comm, folder_ / "checkpoints", options()) {}
  ~Bench() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  void measure() {
    trainer_.step();  // fills the moments
    throughput_kept();
    disk();
  }

 private:
  static CheckpointOptions options() {
    CheckpointOptions options;
    options.every_seconds = 1e9;
    options.retention.keep = 1;
    return options;
  }

  Snapshot snapshot() {
    Snapshot taken{{}, {{"step", 1}}, {{"model", "gpt2"}}};
    const char* names[] = {"parameters", "first_moment", "second_moment"};
    for (std::size_t i = 0; i < 3; ++i) {
      const std::span<float> arena = trainer_.state()[i];
      const std::int64_t size = std::int64_t(arena.size());
      taken.slices.push_back(slice_of(names[i], size, {0, size}, arena));
    }
    return taken;
  }
  double state_bytes() {
    double bytes = 0;
    for (const std::span<float> arena : trainer_.state()) bytes += double(arena.size_bytes());
    return bytes;
  }

  // Seconds of a piece of training, with boundaries after its sequences as a run has them.
  double train(bool checkpoint) {
    return seconds([&] {
      const auto take = [&] { return snapshot(); };
      checkpoints_.boundary({.checkpoint = checkpoint}, take);
      for (int s = 0; s < kSequences; ++s) {
        trainer_.accumulate();
        checkpoints_.boundary({}, take);
      }
      if (checkpoints_.pending()) checkpoints_.commit();
    });
  }

  double copy_seconds(std::vector<AlignedBuffer<float>>& copies) {
    return seconds([&] {
      for (std::size_t i = 0; i < copies.size(); ++i) {
        const std::span<float> arena = trainer_.state()[i];
        constexpr std::int64_t kPiece = 1 << 20;
        parallel_for(std::int64_t(arena.size()) / kPiece + 1, [&](std::int64_t p) {
          const auto from =
              arena.subspan(std::size_t(p * kPiece),
                            std::min(std::size_t(kPiece), arena.size() - std::size_t(p * kPiece)));
          std::memcpy(copies[i].data() + p * kPiece, from.data(), from.size_bytes());
        });
      }
    });
  }

  void throughput_kept() {
    std::vector<AlignedBuffer<float>> copies;
    for (const std::span<float> arena : trainer_.state())
      copies.emplace_back(std::int64_t(arena.size()));
    std::vector<double> costs, without, copy;
    copy_seconds(copies);
    train(true);  // the first copy meets fresh memory
    for (int round = 0; round < kRounds; ++round) {
      without.push_back(train(false));
      costs.push_back(train(true) - without.back());  // neighbours: the machine's speed drifts
      copy.push_back(copy_seconds(copies));
    }
    const double cost = median(costs), beyond = cost - median(copy);
    print_claim(
        "checkpoint.throughput_kept", 1 - beyond / 60, 0.995,
        fmt::format("a checkpoint costs {:.3f} s, {:.3f} s of them the copy of {:.2f} GB; "
                    "{:.3f} s blocked, {:.3f} s a piece of training without one",
                    cost, median(copy), state_bytes() / 1e9,
                    checkpoints_.cost().blocking_seconds() / (kRounds + 1), median(without)));
  }

  // GB/s of dd between its file and memory.
  double dd(const std::string& arguments) {
    const std::int64_t blocks = std::int64_t(state_bytes() / double(4 << 20));
    const std::string line = fmt::format("dd bs=4M count={} {} 2>/dev/null", blocks, arguments);
    const double taken = seconds([&] {
      if (std::system(line.c_str()) != 0) works_ = false;
    });
    return double(blocks * (4 << 20)) / taken / 1e9;
  }

  void disk() {
    const std::string file = (folder_ / "dd").string();
    std::vector<double> write, read, dd_write, dd_read;
    const double gigabytes = state_bytes() / 1e9;
    const Snapshot taken = snapshot();
    for (int round = 0; round < kRounds; ++round) {
      fs::remove(file);
      dd_write.push_back(dd("if=/dev/zero oflag=direct of=" + file));
      write.push_back(gigabytes / seconds([&] { checkpoints_.save(taken); }));
      forget(folder_);
      dd_read.push_back(dd("of=/dev/null iflag=direct if=" + file));
      read.push_back(gigabytes / seconds([&] { restore(); }));
    }
    if (!works_) {
      for (const char* name : {"checkpoint.write", "checkpoint.restore"})
        print_skipped(name, "dd with direct I/O does not work here");
      return;
    }
    print_claim("checkpoint.write", median(write) / median(dd_write), 0.90,
                fmt::format("{:.2f} GB/s; dd oflag=direct bs=4M {:.2f} GB/s", median(write),
                            median(dd_write)));
    print_claim("checkpoint.restore", median(read) / median(dd_read), 0.80,
                fmt::format("{:.2f} GB/s; dd iflag=direct bs=4M {:.2f} GB/s", median(read),
                            median(dd_read)));
  }

  void restore() {
    const Snapshot wanted = snapshot();
    if (!checkpoints_.restore(wanted.identity, wanted.slices)) works_ = false;
  }

  Comm& comm_;
  fs::path folder_;
  Gpt2Trainer trainer_;
  Checkpointer checkpoints_;
  bool works_ = true;
};

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  tutti::Comm comm(&argc, &argv);
  const std::filesystem::path in = argc > 1 ? argv[1] : ".";
  tutti::bench::Bench(comm, std::filesystem::absolute(in / "bench_checkpoint.scratch")).measure();
}
