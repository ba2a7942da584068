// Claims shard.text and shard.vectors: the shard job against what bounds it. Run under mpirun -n 2:
//
//   bench_shard text|vectors [FOLDER]       (FOLDER, default here, is on the disk to measure)
//
// shard.text: the job, from JSONL to a committed dataset, one thread a rank, against one
// SentencePiece encoder a rank that does nothing but encode the same documents. shard.vectors: the
// job, from an fbin file in the page cache to a committed dataset, against dd writing as many bytes
// with direct I/O.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/claim.h"
#include "jobs/job.h"
#include "kernels/core/random.h"
#include "runtime/base/error.h"
#include "runtime/base/log.h"
#include "runtime/comm/partition.h"
#include "runtime/data/tokenizer.h"
#include "runtime/data/tokenizer_training.h"
#include "runtime/topology/hardware.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 5;
constexpr std::int64_t kDocuments = 1600;
constexpr std::int64_t kWordsOfADocument = 1200;
constexpr std::uint32_t kVectors = 1 << 20, kDimension = 128;  // 512 MiB

// Text with words as frequent as in a language (Zipf), sentences and paragraphs.
std::string document_text(std::int64_t document) {
  constexpr std::uint64_t kWords = 20000;
  std::string text;
  for (std::int64_t i = 0; i < kWordsOfADocument; ++i) {
    const double u = random_uniform(1, std::uint64_t(document), std::uint64_t(i));
    const auto word = std::uint64_t(std::pow(double(kWords), u));
    const std::uint64_t letters = random_u64(2, 0, word);
    for (std::uint64_t k = 0; k < 2 + letters % 8; ++k)
      text += "etaoinshrdlucmfw"[(letters >> (4 + 4 * k)) % 16];
    text += i % 120 == 119 ? ".\n\n" : i % 17 == 16 ? ". " : " ";
  }
  return text;
}

void write_documents(const fs::path& path) {
  std::ofstream out(path);
  for (std::int64_t d = 0; d < kDocuments; ++d)
    out << nlohmann::json{{"id", std::to_string(d)},
                          {"title", "document"},
                          {"text", document_text(d)}}
        << "\n";
}

void write_vectors(const fs::path& path) {
  std::ofstream out(path, std::ios::binary);
  const std::uint32_t header[2] = {kVectors, kDimension};
  out.write(reinterpret_cast<const char*>(header), sizeof(header));
  std::vector<float> row(kDimension);
  for (std::uint32_t i = 0; i < kVectors; ++i) {
    for (std::uint32_t k = 0; k < kDimension; ++k) row[k] = float(i + k);
    out.write(reinterpret_cast<const char*>(row.data()),
              std::streamsize(row.size() * sizeof(float)));
  }
}

// Seconds that `work` takes on all ranks, from the first's start to the last's end.
template <class Work>
double collective_seconds(Comm& comm, Work&& work) {
  comm.barrier();
  return seconds([&] {
    work();
    comm.barrier();
  });
}

class Bench {
 public:
  Bench(Comm& comm, const fs::path& folder) : comm_(comm), folder_(folder / "bench_shard.scratch") {
    comm.attempt([&] {
      if (comm.is_root()) fs::create_directories(folder_);
    });
  }
  ~Bench() {
    std::error_code ignored;
    if (comm_.is_root()) fs::remove_all(folder_, ignored);
  }

  void text() {
    std::string model;
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      write_documents(folder_ / "documents.jsonl");
      const TextSource source(find_input({(folder_ / "documents.jsonl").string()}, "auto"), {});
      model = train_tokenizer(sample_sentences(source, 1 << 20), {});
      std::ofstream(folder_ / "model", std::ios::binary) << model;
    });
    const Tokenizer tokenizer(comm_.broadcast_string(model), "trained");
    const Range mine = part_of(kDocuments, comm_.size(), comm_.rank());
    std::vector<std::string> texts;
    for (std::int64_t d = mine.begin; d < mine.end; ++d) texts.push_back(document_text(d));
    std::size_t tokens = 0;
    std::vector<double> ours, encoder;
    for (int round = 0; round < kRounds; ++round) {
      encoder.push_back(collective_seconds(comm_, [&] {
        for (const std::string& text : texts) tokens += tokenizer.encode(text).size();
      }));
      ours.push_back(shard("documents.jsonl", {"tokenizer.model=" + (folder_ / "model").string()}));
    }
    const double megabytes = double(comm_.all_reduce_sum(bytes_of(texts))) / 1e6;
    claim("shard.text", 0.50, ours, encoder, megabytes,
          "the job, {:.1f} MB/s; one SentencePiece encoder a rank alone, {:.1f} MB/s; {} ranks, "
          "{:.0f} MB of text");
  }

  void vectors() {
    comm_.attempt([&] {
      if (comm_.is_root()) write_vectors(folder_ / "vectors.fbin");
    });
    const double megabytes = double(kVectors) * kDimension * sizeof(float) / 1e6;
    std::vector<double> ours, disk;
    std::int64_t failed = 0;
    for (int round = 0; round < kRounds; ++round) {
      disk.push_back(collective_seconds(comm_, [&] {
        if (comm_.is_root()) failed |= std::system(dd().c_str());
      }));
      ours.push_back(shard("vectors.fbin", {"shards=4"}));
    }
    if (comm_.all_reduce_max(failed)) {
      if (comm_.is_root()) print_skipped("shard.vectors", "dd oflag=direct does not work here");
      return;
    }
    claim("shard.vectors", 0.70, ours, disk, megabytes,
          "the job, {:.0f} MB/s; dd oflag=direct, {:.0f} MB/s; {} ranks, {:.0f} MB of vectors");
  }

 private:
  static std::int64_t bytes_of(const std::vector<std::string>& texts) {
    std::size_t bytes = 0;
    for (const std::string& text : texts) bytes += text.size();
    return std::int64_t(bytes);
  }

  std::string dd() const {
    const std::string out = (folder_ / "dd.out").string();
    return "rm -f '" + out + "' && dd if=/dev/zero of='" + out +
           "' bs=4M count=" + std::to_string((std::int64_t(kVectors) * kDimension * 4) >> 22) +
           " oflag=direct 2>/dev/null";
  }

  // Seconds of the job on this input, into a folder of its own each time.
  double shard(const std::string& input, std::vector<std::string> settings) {
    settings.push_back("input.paths=[\"" + (folder_ / input).string() + "\"]");
    const fs::path run = folder_ / "run";
    comm_.attempt([&] {
      if (!comm_.is_root()) return;
      fs::remove_all(run);
      fs::create_directories(run);
    });
    const std::unique_ptr<Job> job = make_shard_job();
    Schema schema;
    job->describe(schema);
    for (const std::string& setting : settings) schema.set(setting);
    EventLog events;
    PhaseTimer phases;
    JobContext context{comm_, run, events, phases, false, false, {}};
    return collective_seconds(comm_, [&] { job->run(context); });
  }

  // `detail` takes our rate, the limit's, the ranks and the megabytes.
  void claim(const char* name, double target, const std::vector<double>& ours,
             const std::vector<double>& limit, double megabytes, const char* detail) const {
    if (!comm_.is_root()) return;
    print_claim(name, median(limit) / median(ours), target,
                fmt::format(fmt::runtime(detail), megabytes / median(ours),
                            megabytes / median(limit), comm_.size(), megabytes));
  }

  Comm& comm_;
  const fs::path folder_;
};

}  // namespace
}  // namespace tutti::bench

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what != "text" && what != "vectors") {
    std::fprintf(stderr, "usage: bench_shard text|vectors [FOLDER]\n");
    return int(tutti::ExitCode::usage);
  }
  tutti::Comm comm(&argc, &argv);
  try {
    tutti::log_start(comm.rank());
    tutti::use_threads(1);
    tutti::bench::Bench bench(comm, argc > 2 ? argv[2] : ".");
    what == "text" ? bench.text() : bench.vectors();
    return 0;
  } catch (const tutti::Error& e) {
    std::fprintf(stderr, "bench_shard: %s\n", e.what());
    comm.local_abort(e.code());
  }
}
