// Claims about vectors, against faiss and hnswlib from PyPI beside it: a million vectors of 128
// dimensions, 10,000 queries a batch, the 10 nearest, in all runs on the same two threads.
//
//   search.exact.vs_faiss     exact search against IndexFlat
//   search.exact.roofline     the operations of all its distances a second against those of
//                             oneDNN's bf16 products of 2048 x 2048 x 2048
//   search.ivf_90.vs_faiss    lists at recall 0.90 against faiss's fastest IVF at that recall; also
//                             _95 and _99
//   search.ivf_95.vs_hnswlib  the same at 0.95 against hnswlib (M 16)
//   search.filter_1pct.vs_faiss  one vector in 100 passes a filter: against faiss's fastest IVF
//                             with an IDSelector that reaches recall 0.95 among these
//   search.two_ranks          2 ranks of 1 thread against 1 rank of 2 threads, at 0.95
//   index.kmeans.vs_faiss     10 iterations, 4096 lists, against the faster of faiss's two ways
//   index.build_95.vs_hnswlib from vectors to an index on disk, against hnswlib's in memory
//   index.bytes_95.vs_hnswlib hnswlib's bytes a vector, as it saves them, against those that a
//   search
//                             holds which has room for the codes' prefix alone, at 0.95
//   search.graph_95.batch_1   a query at a time by the graph at recall 0.95 against hnswlib (M 16);
//                             also batch_10 and batch_10000, and graph_99
//   index.graph.vs_hnswlib    from vectors to an index with a graph on disk, against hnswlib's in
//                             memory
//
//   bench_vector_search FOLDER [exact] [ivf] [hnswlib] [graph] [kmeans] [filter] [curve]
//                       [data=VECTORS.npy] [kept=FOLDER]
//
// All but the curve, where none is named. Queries a second of ours are result.json's: from queries
// in memory to neighbours in memory. `data`: other vectors, a tenth of which, at most 10,000, are
// the queries; an index of theirs has as many lists as `tutti index` gives them, and there are the
// claims exact, ivf and hnswlib. `curve`, where hnswlib is installed, is a
// picture of recall against speed, FOLDER/recall_qps.svg, with its points beside it as
// recall_qps.json: each setting of ours, faiss's and hnswlib's in turn, medians of three rounds.
// `kept`: where it leaves the peers' indexes, and finds them.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/claim.h"
#include "bench/job.h"
#include "bench/peer.h"
#include "bench/products.h"
#include "runtime/data/plot.h"
#include "runtime/topology/hardware.h"

namespace tutti::bench {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kRounds = 5;
constexpr const char* kLists = "2048";

// What is searched in: the generator's vectors, or those of a file.
struct Data {
  std::string name, lists = kLists;
  double vectors = 0, dimension = 0, queries = 0;

  bool is_generated() const { return name.empty(); }
  // A claim about other vectors has a name of its own.
  std::string claim(const std::string& about) const {
    return is_generated() ? about : about + "." + name;
  }
};
Data data;

const std::vector<const char*> kHnswlibClaims = {
    "search.ivf_95.vs_hnswlib", "index.build_95.vs_hnswlib", "index.bytes_95.vs_hnswlib"};
const std::vector<const char*> kWalkClaims = {
    "index.graph.vs_hnswlib",      "search.graph_95.batch_1", "search.graph_95.batch_10",
    "search.graph_95.batch_10000", "search.graph_99.batch_1", "search.graph_99.batch_10",
    "search.graph_99.batch_10000"};

json asked(PeerProcess& peer, const std::string& command) {
  peer.ask(command);
  return json::parse(peer.answer());
}

json result_of(const std::string& run) {
  std::ifstream file(run + "/result.json");
  return json::parse(file);
}

// Queries a second of one start of the search job.
double search(const std::string& more, int ranks = 1, int threads = 2) {
  fs::remove_all("found");
  run_job(ranks, threads,
          "search --run found --set index=index --set search.batch=10000 --set search.k=10 --set "
          "memory_limit=8GiB " +
              more);
  return result_of("found").at("queries_per_second");
}

std::string probing(int nprobe) {
  return fmt::format("--set query.file=queries3.npy --set search.nprobe={}", nprobe);
}

// Seconds from vectors to an index.
double build() {
  fs::remove_all("index");
  return seconds([] {
    run_job(1, 2,
            fmt::format("index --run index --set vectors=vectors --set index.nlist={} --set "
                        "memory_limit=4GiB",
                        data.lists));
  });
}

// The fewest probes that reach a recall.
int tune(PeerProcess& peer, double target, double& recall, const std::string& more = "") {
  int nprobe = 4;
  for (;; nprobe += std::max(1, nprobe / 12)) {
    search(fmt::format("--set query.file=queries.npy --set search.nprobe={}", nprobe) + more);
    recall = asked(peer, "recall found/neighbors.h5").at("recall");
    if (recall >= target) return nprobe;
  }
}

void claim_exact(PeerProcess& peer) {
  constexpr double kProduct = 2.0 * 2048 * 2048 * 2048;
  const double operations = 2.0 * data.vectors * data.dimension;
  Products products(DType::bf16);
  products.add({{ProductSize::Kind::forward, 2048, 2048, 2048, 1}}, 1);
  products.run();
  std::vector<double> ours, theirs, limit;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(search("--set search.mode=exact --set query.file=queries.npy"));
    theirs.push_back(asked(peer, "exact").at("qps"));
    limit.push_back(kProduct / seconds([&] { products.run(); }));
  }
  const double recall = asked(peer, "recall found/neighbors.h5").at("recall");
  print_claim(data.claim("search.exact.vs_faiss"), median(ours) / median(theirs), 10,
              fmt::format("{:.0f} against {:.0f} queries/s, recall {:.5f} by faiss's own",
                          median(ours), median(theirs), recall));
  print_claim(data.claim("search.exact.roofline"), median(ours) * operations / median(limit), 0.5,
              fmt::format("{:.2f} against {:.2f} TFLOP/s; codes rule most pairs out by some of "
                          "their dimensions",
                          median(ours) * operations / 1e12, median(limit) / 1e12));
}

void claim_lists(PeerProcess& peer) {
  for (const double target : {0.90, 0.95, 0.99}) {
    const json chosen = asked(peer, fmt::format("tune {}", target));
    double recall = 0;
    const int nprobe = tune(peer, target, recall);
    std::vector<double> ours, theirs, two;
    for (int round = 0; round < kRounds; ++round) {
      ours.push_back(search(probing(nprobe)));
      theirs.push_back(asked(peer, fmt::format("ivf {}", target)).at("qps"));
      if (target == 0.95) two.push_back(search(probing(nprobe), 2, 1));
    }
    print_claim(data.claim(fmt::format("search.ivf_{:.0f}.vs_faiss", target * 100)),
                median(ours) / median(theirs), 5,
                fmt::format("{:.0f} (recall {:.4f}, {} lists, nprobe {}) against {:.0f} queries/s "
                            "(recall {:.4f}, {}, nprobe {}, factor {})",
                            median(ours), recall, result_of("index").at("nlist").get<int>(), nprobe,
                            median(theirs), chosen.at("recall").get<double>(),
                            chosen.at("key").get<std::string>(), chosen.at("probes").get<double>(),
                            chosen.at("factor").get<double>()));
    if (!two.empty())
      print_claim(data.claim("search.two_ranks"), median(two) / median(ours), 0.95,
                  fmt::format("{:.0f} against {:.0f} queries/s", median(two), median(ours)));
  }
}

// A search with so little memory that codes fit and vectors do not.
struct LeanSearch {
  double bytes = 0;
  std::string told;

  LeanSearch(const std::string& codes, int nprobe, double recall, const std::string& more) {
    std::vector<double> rates;
    for (int round = 0; round < kRounds; ++round) rates.push_back(search(probing(nprobe) + more));
    const json result = result_of("found");
    bytes = result.at("memory_bytes_per_vector");
    told = fmt::format(
        "{:.0f} bytes a vector ({}, {} in memory, recall {:.4f}, nprobe {}, {:.0f} "
        "queries/s)",
        bytes, codes, result.at("in_memory").get<std::string>(), recall, nprobe, median(rates));
  }
};

void claim_bytes(PeerProcess& peer, double theirs, int nprobe, double recall, const json& chosen) {
  const LeanSearch whole("whole codes", nprobe, recall, " --set memory_limit=256MiB");
  const std::string by_prefix = " --set search.codes=prefix";
  nprobe = tune(peer, 0.95, recall, by_prefix);
  const LeanSearch prefix("codes' prefix", nprobe, recall, by_prefix + " --set memory_limit=64MiB");
  print_claim("index.bytes_95.vs_hnswlib", theirs / prefix.bytes, 3,
              fmt::format("{}, or {}, against {:.0f} (recall {:.4f})", prefix.told, whole.told,
                          theirs, chosen.at("recall").get<double>()));
}

void claim_graph(PeerProcess& peer) {
  const json built = asked(peer, "graph_build");
  const double theirs_seconds = built.at("seconds");
  std::vector<double> builds;
  for (int round = 0; round < 3; ++round) builds.push_back(build());
  print_claim(data.claim("index.build_95.vs_hnswlib"), theirs_seconds / median(builds), 20,
              fmt::format("{:.1f} s with the index on disk against {:.0f} s in memory",
                          median(builds), theirs_seconds));
  const json chosen = asked(peer, "graph_tune 0.95");
  double recall = 0;
  const int nprobe = tune(peer, 0.95, recall);
  std::vector<double> ours, theirs;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(search(probing(nprobe)));
    theirs.push_back(asked(peer, "graph_search").at("qps"));
  }
  print_claim(data.claim("search.ivf_95.vs_hnswlib"), median(ours) / median(theirs), 4,
              fmt::format("{:.0f} (recall {:.4f}) against {:.0f} queries/s (recall {:.4f}, ef {})",
                          median(ours), recall, median(theirs), chosen.at("recall").get<double>(),
                          chosen.at("ef").get<int>()));
  if (data.is_generated()) claim_bytes(peer, built.at("bytes_per_vector"), nprobe, recall, chosen);
}

// The least breadth that reaches a recall.
int tune_breadth(double target, double& recall) {
  std::string breadths = "16";
  for (int breadth = 20; breadth <= 48; breadth += 4) breadths += fmt::format(",{}", breadth);
  for (int breadth = 56; breadth <= 200; breadth += 8) breadths += fmt::format(",{}", breadth);
  search(
      "--evaluate --set query.file=queries.npy --set index=walked --set search.by=graph --set "
      "evaluate.breadth=[" +
      breadths + "]");
  const json result = result_of("found");
  for (const json& point : result.at("curve")) {
    recall = point.at("recall_at_10");
    if (recall >= target) return point.at("breadth");
  }
  return 200;
}

// Queries a second of the first thousand, or of all.
double walk(int breadth, int batch) {
  return search(
      fmt::format("--set query.file={} --set index=walked --set search.by=graph --set "
                  "search.breadth={} --set search.batch={}",
                  batch > 100 ? "queries.npy" : "few.npy", breadth, batch));
}

void claim_walks(PeerProcess& peer) {
  const double theirs_seconds = asked(peer, "graph_build").at("seconds");
  std::vector<double> builds;
  for (int round = 0; round < 3; ++round) {
    fs::remove_all("walked");
    builds.push_back(seconds([] {
      run_job(1, 2,
              fmt::format("index --run walked --set vectors=vectors --set index.nlist={} --set "
                          "index.graph=true --set memory_limit=8GiB",
                          kLists));
    }));
  }
  print_claim("index.graph.vs_hnswlib", theirs_seconds / median(builds), 5,
              fmt::format("{:.1f} s with the index on disk against {:.0f} s in memory",
                          median(builds), theirs_seconds));
  for (const double target : {0.95, 0.99}) {
    const json chosen = asked(peer, fmt::format("graph_tune {}", target));
    double recall = 0;
    const int breadth = tune_breadth(target, recall);
    for (const int batch : {1, 10, 10000}) {
      std::vector<double> ours, theirs;
      for (int round = 0; round < kRounds; ++round) {
        ours.push_back(walk(breadth, batch));
        theirs.push_back(asked(peer, fmt::format("graph_search {}", batch)).at("qps"));
      }
      print_claim(
          fmt::format("search.graph_{:.0f}.batch_{}", target * 100, batch),
          median(ours) / median(theirs), 1,
          fmt::format(
              "{:.0f} queries/s, {:.0f} us a batch (recall {:.4f}, breadth {}) against {:.0f}, "
              "{:.0f} us (recall {:.4f}, ef {})",
              median(ours), batch * 1e6 / median(ours), recall, breadth, median(theirs),
              batch * 1e6 / median(theirs), chosen.at("recall").get<double>(),
              chosen.at("ef").get<int>()));
    }
  }
}

void claim_kmeans(PeerProcess& peer) {
  std::vector<double> ours, theirs;
  json last;
  double distance = 0;
  for (int round = 0; round < 3; ++round) {
    fs::remove_all("clusters");
    run_job(1, 2,
            "index --run clusters --set vectors=vectors --set index.nlist=4096 --set "
            "kmeans.iterations=10 --set kmeans.sample=1000000 --set memory_limit=8GiB");
    std::ifstream events("clusters/events.jsonl");
    double first = 0, end = 0;
    for (std::string line; std::getline(events, line);) {
      const json event = json::parse(line);
      if (event.at("event") == "ready") first = event.at("time");
      if (event.at("event") != "kmeans") continue;
      end = event.at("time");
      distance = event.at("mean_distance");
    }
    ours.push_back(end - first);
    last = asked(peer, "kmeans");
    theirs.push_back(last.at("seconds"));
  }
  print_claim(
      "index.kmeans.vs_faiss", median(theirs) / median(ours), 3,
      fmt::format("{:.2f} s to a mean distance of {:.3f} against {:.2f} s to {:.3f} ({})",
                  median(ours), distance, median(theirs), last.at("mean_distance").get<double>(),
                  last.at("way").get<std::string>()));
}

void claim_filter(PeerProcess& peer) {
  run_job(1, 2,
          "shard --run tagged --set input.paths=[\\\"base.npy\\\"] --set "
          "metadata.file=metadata.jsonl --set metadata.columns=[\\\"bucket:integer\\\"]");
  run_job(1, 2,
          fmt::format("index --run tagged-index --set vectors=tagged --set index.nlist={} --set "
                      "memory_limit=4GiB",
                      kLists));
  const json chosen = asked(peer, "filter_tune 0.95");
  const std::string passing =
      "--set query.file=queries3.npy --set index=tagged-index --set \"search.where=bucket = 0\"";
  std::vector<double> ours, theirs;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(search(passing));
    theirs.push_back(asked(peer, "filter_search").at("qps"));
  }
  const double recall = asked(peer, "filter_recall found/neighbors.h5").at("recall");
  print_claim("search.filter_1pct.vs_faiss", median(ours) / median(theirs), 5,
              fmt::format("{:.0f} (recall {:.4f}) against {:.0f} queries/s (recall {:.4f}, {}, "
                          "nprobe {})",
                          median(ours), recall, median(theirs), chosen.at("recall").get<double>(),
                          chosen.at("key").get<std::string>(), chosen.at("probes").get<int>()));
}

// One setting of somebody's, over all rounds.
struct Measured {
  std::string name, setting;
  double recall = 0;
  std::vector<double> rates;
};

void add_point(std::vector<Measured>& points, const Measured& point) {
  const auto known = std::ranges::find_if(points, [&](const Measured& p) {
    return p.name == point.name && p.setting == point.setting;
  });
  if (known == points.end())
    points.push_back(point);
  else
    known->rates.push_back(point.rates.front());
}

// Ours, in one start.
void add_ours(std::vector<Measured>& points) {
  search(
      "--evaluate --set query.file=queries.npy --set search.nprobe=8 --set "
      "evaluate.nprobe=[12,16,24,32,48,64,96,160]");
  const json result = result_of("found");
  for (const json& point : result.at("curve"))
    add_point(points, {"tutti",
                       fmt::format("nprobe {}", point.at("nprobe").get<int>()),
                       point.at("recall_at_10"),
                       {point.at("queries_per_second")}});
}

void draw_curve(PeerProcess& peer, const fs::path& folder, const std::string& kept) {
  constexpr int kCurveRounds = 3;
  asked(peer, "open_kept " + kept);
  std::vector<Measured> points;
  for (int round = 0; round < kCurveRounds; ++round) {
    add_ours(points);
    for (const json& point : asked(peer, "curve"))
      add_point(points,
                {point.at("name"), point.at("setting"), point.at("recall"), {point.at("qps")}});
  }
  RecallPlot plot{
      fmt::format("{:.0f} vectors \u00d7 {:.0f} dimensions, k = 10", data.vectors, data.dimension),
      fmt::format("l2, {:.0f} queries at once; {}, 2 threads", data.queries, processor_name()),
      "recall@10",
      {}};
  json told = json::array();
  for (const Measured& point : points) {
    if (plot.series.empty() || plot.series.back().name != point.name)
      plot.series.push_back({point.name, {}});
    plot.series.back().points.push_back({point.recall, median(point.rates), point.setting});
    told.push_back({{"name", point.name},
                    {"setting", point.setting},
                    {"recall_at_10", point.recall},
                    {"queries_per_second", median(point.rates)}});
  }
  const std::string file = data.claim("recall_qps");
  std::ofstream(folder / (file + ".svg")) << recall_plot_svg(plot);
  std::ofstream(folder / (file + ".json")) << told.dump(1) << "\n";
}

// The arguments that are no names of parts.
std::string take_setting(std::set<std::string>& parts, const std::string& name) {
  const auto found = std::ranges::find_if(
      parts, [&](const std::string& part) { return part.starts_with(name + "="); });
  if (found == parts.end()) return "";
  const std::string value = fs::absolute(found->substr(name.size() + 1)).string();
  parts.erase(found);
  return value;
}

int run(fs::path folder, std::set<std::string> parts) {
  folder = fs::absolute(folder);
  const std::string file = take_setting(parts, "data"), kept = take_setting(parts, "kept");
  const std::vector<std::pair<std::string, void (*)(PeerProcess&)>> claims = {
      {"exact", claim_exact}, {"ivf", claim_lists},     {"hnswlib", claim_graph},
      {"graph", claim_walks}, {"kmeans", claim_kmeans}, {"filter", claim_filter}};
  if (parts.empty())
    for (const auto& [name, claim] : claims) parts.insert(name);
  if (!file.empty())
    for (const char* of_generated : {"graph", "kmeans", "filter"}) parts.erase(of_generated);
  const bool graph = has_package("hnswlib");
  if (!has_package("faiss")) {
    for (const char* name :
         {"search.exact.vs_faiss", "search.exact.roofline", "search.ivf_90.vs_faiss",
          "search.ivf_95.vs_faiss", "search.ivf_99.vs_faiss", "search.two_ranks",
          "search.filter_1pct.vs_faiss", "index.kmeans.vs_faiss"})
      print_skipped(name, lacks_package("faiss"));
    for (const auto& names : {kHnswlibClaims, kWalkClaims})
      for (const char* name : names) print_skipped(name, lacks_package("faiss"));
    return 0;
  }
  const JobFolder current(folder / "vector_search");
  PeerProcess peer(std::string(TUTTI_BENCH_PEER) + " . " + file);
  const json described = json::parse(peer.answer());
  std::printf("%s\n", described.dump().c_str());
  if (!file.empty()) data = {fs::path(file).stem(), "0"};
  data.vectors = described.at("vectors");
  data.dimension = described.at("dimension");
  data.queries = described.at("queries");
  run_job(1, 2, "shard --run vectors --set input.paths=[\\\"base.npy\\\"]");
  build();
  for (const auto& [name, claim] : claims) {
    if (!parts.contains(name)) continue;
    if (!graph && (name == "hnswlib" || name == "graph")) {
      for (const char* skipped : name == "graph" ? kWalkClaims : kHnswlibClaims)
        print_skipped(skipped, lacks_package("hnswlib"));
      continue;
    }
    claim(peer);
    std::fflush(stdout);
  }
  if (parts.contains("curve") && graph) draw_curve(peer, folder, kept.empty() ? "." : kept);
  return 0;
}

}  // namespace
}  // namespace tutti::bench

int main(int count, char** arguments) {
  const std::filesystem::path folder = count > 1 ? arguments[1] : ".";
  return tutti::bench::run(folder, {arguments + std::min(count, 2), arguments + count});
}
