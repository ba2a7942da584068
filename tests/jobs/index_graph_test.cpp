// Indexes with a graph, as a user makes, searches, changes and exports them.
#include <algorithm>
#include <set>

#include "jobs/index_folder.h"
#include "runtime/data/hnswlib_file.h"
#include "runtime/data/paths.h"
#include "runtime/io/sealed_json.h"
#include "tests/jobs/changed_index.h"
#include "tests/support/process.h"

namespace tutti {
namespace {

using nlohmann::json;
using testing::brute_force;
using testing::clustered_vectors;
using testing::Found;
using testing::read_text;
using testing::run_command;
using testing::tutti_command;

constexpr std::int64_t kK = 10;
const std::string kByGraph = "--set search.by=graph ";
// Comes by everything, and measures it.
const std::string kAll = kByGraph + "--set search.breadth=5000 --set search.rank_by=distances ";

class WithGraph : public testing::ChangedIndex {
 protected:
  static void SetUpTestSuite() {
    make("index_graph_test");
    build("graph", "p_base", graph());
  }
  static void TearDownTestSuite() { remove(); }

  static std::string graph(const std::string& more = "") {
    return "--set index.graph=true --set graph.degree=16 --set graph.probes=6 " + more;
  }
  static double recall(const Found& found, const Found& truth) {
    std::int64_t right = 0;
    for (std::size_t q = 0; q < truth.ids.size(); q += std::size_t(kK)) {
      const std::set<std::int64_t> ids(found.ids.begin() + std::int64_t(q),
                                       found.ids.begin() + std::int64_t(q) + kK);
      for (std::size_t i = q; i < q + std::size_t(kK); ++i) right += ids.contains(truth.ids[i]);
    }
    return double(right) / double(truth.ids.size());
  }
  // An index of vectors of its own, searched by its graph, beside the definition.
  static void expect_all_found(const std::string& name, const std::vector<float>& vectors,
                               std::int64_t dim, const std::string& options, std::int64_t k) {
    const std::vector<float> queries = clustered_vectors(5, dim, 9);
    testing::write_vectors<float>(folder() / (name + "_vectors"), vectors, dim);
    testing::write_fvecs(folder() / (name + ".fvecs"), queries, dim);
    expect_done(2, "index --run " + at(name) + " --set vectors=" + at(name + "_vectors") +
                       " --set index.graph=true --set kmeans.iterations=2 " + options);
    expect_done(2, "search --run " + at("found") + " --set index=" + at(name) +
                       " --set query.file=" + at(name + ".fvecs") +
                       " --set search.k=" + std::to_string(k) + " " + kAll);
    const Found found = testing::read_neighbors(folder() / "found"),
                truth = brute_force(vectors, queries, dim, Metric::l2, k);
    EXPECT_EQ(found.ids, truth.ids) << name;
    EXPECT_EQ(found.distances, truth.distances) << name;
  }
  // Puts another graph into an index, whose manifest vouches for it.
  static void replace_graph(const std::string& index, const GraphParts& graph) {
    Manifest manifest = load_manifest(folder() / index);
    const FileRecord record =
        write_graph(folder() / index, {graph.edges.data(), kBase, 16}, graph.starts);
    for (FileRecord& file : manifest.files)
      if (file.name == kGraphFile) file = record;
    manifest.digest = artefact_digest(manifest.files);
    write_sealed_json(folder() / index / kManifestFile, to_json(manifest));
  }
};

TEST_F(WithGraph, IsTheSameOnAnyNumberOfRanks) {
  for (const int ranks : {1, 3, 4}) {
    const std::string name = "ranks" + std::to_string(ranks);
    expect_done(ranks, "index --run " + at(name) + " --set vectors=" + at("p_base") +
                           " --set index.shards=4 --set kmeans.iterations=4 --set index.nlist=20 " +
                           graph());
    EXPECT_EQ(digest_of(name), digest_of("graph")) << ranks;
    EXPECT_FALSE(std::filesystem::exists(folder() / name / kBuildingFolder));
  }
  // The lists are those of an index without.
  EXPECT_EQ(read_text(folder() / "graph/shard-00002.h5"),
            read_text(folder() / "p_index/shard-00002.h5"));
  const IndexFolder index = open_index(folder() / "graph");
  ASSERT_TRUE(index.graph);
  EXPECT_EQ(index.graph->entries, kBase);
  EXPECT_EQ(index.graph->shape.degree, 16);
}

TEST_F(WithGraph, ASearchFindsNearlyAllAndTheSameOnAnyNumberOfRanks) {
  const Found truth =
      brute_force(base(), clustered_vectors(kQueries, kDim, 9), kDim, Metric::l2, kK);
  const Found one = search("graph", kByGraph, 1);
  const std::string bytes = file_of_neighbors();
  EXPECT_GE(recall(one, truth), 0.97);
  for (const int ranks : {2, 4}) {
    search("graph", kByGraph, ranks);
    EXPECT_TRUE(file_of_neighbors() == bytes) << ranks;
    search("graph", kByGraph + "--set search.batch=7", ranks);
    EXPECT_TRUE(file_of_neighbors() == bytes) << ranks;
  }
  const Found all = search("graph", kAll);
  EXPECT_EQ(all.ids, truth.ids);
  EXPECT_EQ(all.distances, truth.distances);
  EXPECT_EQ(result_of("found")["breadth"], 5000);
  search("graph", kByGraph + "--set search.mode=both --set search.breadth=20");
  EXPECT_GT(result_of("found")["recall_at_k"], 0.8);
}

TEST_F(WithGraph, EachMetricAndStorage) {
  for (const std::string metric : {"cosine", "inner_product"}) {
    build(metric, "p_base", graph("--set index.storage=bf16 --set index.metric=" + metric));
    search(metric, kByGraph + "--set search.mode=both --set search.breadth=100");
    EXPECT_GT(result_of("found")["recall_at_k"], 0.95) << metric;
    const Found exact = search(metric, "--set search.mode=exact"), all = search(metric, kAll);
    EXPECT_EQ(all.ids, exact.ids) << metric;
    EXPECT_EQ(all.distances, exact.distances) << metric;
  }
}

TEST_F(WithGraph, AwkwardVectors) {
  expect_all_found("few", clustered_vectors(5, 7, 1), 7, "--set index.nlist=2", 8);
  expect_all_found("one", clustered_vectors(1, 3, 1), 3, "", 2);
  expect_all_found("line", clustered_vectors(300, 1, 1), 1, "--set index.nlist=1", 5);
  expect_all_found("equal", std::vector<float>(400 * 6, 0.5f), 6, "--set index.nlist=4", 10);
  std::vector<float> halves = clustered_vectors(600, 5, 1);  // one half all the same
  std::fill(halves.begin(), halves.begin() + 300 * 5, 2.0f);
  expect_all_found("halves", halves, 5, "--set graph.degree=4 --set index.nlist=10", 10);
}

TEST_F(WithGraph, ChangesAreSeen) {
  copy("graph", "changed");
  change(2, "changed", adding("p_later"));
  testing::write_text(folder() / "gone", "0\n100\n14990\n15001\n");
  change(2, "changed", "--set update.delete=" + at("gone"));
  const auto exact = search("changed", "--set search.mode=exact"), all = search("changed", kAll);
  EXPECT_EQ(all.ids, exact.ids);
  EXPECT_EQ(all.distances, exact.distances);
  const std::string log = read_text(folder() / "found/log.txt");
  EXPECT_NE(log.find("vectors were added since the graph was built"), std::string::npos) << log;
  search("changed", kByGraph, 1);
  const std::string bytes = file_of_neighbors();
  search("changed", kByGraph, 4);
  EXPECT_TRUE(file_of_neighbors() == bytes);
  expect_refused(65,
                 "export --run " + at("refused") + " --set export.from=" + at("changed") +
                     " --set export.format=hnswlib",
                 "were added since its graph was built");

  compact(2, "changed", "compacted");
  const IndexFolder compacted = open_index(folder() / "compacted");
  ASSERT_TRUE(compacted.graph);
  EXPECT_EQ(compacted.graph->entries, compacted.vectors);
  EXPECT_EQ(search("compacted", kAll).ids, exact.ids);
  compact(3, "changed", "compacted3");
  EXPECT_EQ(digest_of("compacted3"), digest_of("compacted"));
  EXPECT_FALSE(std::filesystem::exists(folder() / "compacted" / kBuildingFolder));
  expect_done(2, "compact --run " + at("without") + " --set index=" + at("p_index"));
  EXPECT_FALSE(open_index(folder() / "without").graph);
}

TEST_F(WithGraph, AKilledBuildGoesOn) {
  for (const int ranks : {1, 4}) {
    const std::string name = "killed" + std::to_string(ranks),
                      command = "index --run " + at(name) + " --set vectors=" + at("p_base") +
                                " --set index.shards=4 --set kmeans.iterations=4 "
                                "--set index.nlist=20 --set threads=1 " +
                                graph();
    const auto killed =
        run_command("TUTTI_FAULT=pwrite:1:KILL:graph.h5 LD_PRELOAD=" TUTTI_FAULT_IO " " +
                    tutti_command(2, command));
    EXPECT_NE(killed.exit_code, 0);
    // An index without a graph.
    EXPECT_EQ(search(name, "--set search.nprobe=20").ids,
              search("p_index", "--set search.nprobe=20").ids);
    expect_refused(65,
                   "search --run " + at("refused") + " --set index=" + at(name) +
                       " --set query.file=" + at("queries.fvecs") + " " + kByGraph,
                   "the index has no graph");
    expect_done(ranks, command);
    EXPECT_EQ(digest_of(name), digest_of("graph"));
    const std::string log = read_text(folder() / name / "log.txt");
    EXPECT_NE(log.find("1500 of 1500 vectors have neighbours already"), std::string::npos) << log;
    EXPECT_FALSE(std::filesystem::exists(folder() / name / kBuildingFolder));
  }
}

TEST_F(WithGraph, DamageIsNamed) {
  const std::string asked = "search --run " + at("refused") +
                            " --set query.file=" + at("queries.fvecs") + " " + kByGraph +
                            "--set index=";
  copy("graph", "damaged");
  std::string bytes = read_text(folder() / "damaged/graph.h5");
  bytes[bytes.size() - 100] ^= 1;
  testing::write_text(folder() / "damaged/graph.h5", bytes);
  expect_refused(65, asked + at("damaged"), "graph.h5");
  std::filesystem::remove(folder() / "damaged/graph.h5");
  expect_refused(65, asked + at("damaged"), "graph.h5");

  for (const std::int32_t wrong : {std::int32_t(kBase), -2}) {
    copy("graph", "wrong");
    GraphParts graph = read_graph(open_index(folder() / "graph"));
    graph.edges[16 * 7] = wrong;
    replace_graph("wrong", graph);
    expect_refused(65, asked + at("wrong"), "an edge of entry 7 leads to " + std::to_string(wrong));
  }
  {
    copy("graph", "wrong");
    GraphParts graph = read_graph(open_index(folder() / "graph"));
    graph.starts.vertices[3] = kBase;
    replace_graph("wrong", graph);
    expect_refused(65, asked + at("wrong"), "stands for a list");
  }
  for (const char* key : {"degree", "probes"}) {
    copy("graph", "wrong");
    json told = read_sealed_json(folder() / "graph" / kManifestFile);
    told["metadata"]["graph"][key] = 0;
    write_sealed_json(folder() / "wrong" / kManifestFile, told);
    expect_refused(65, asked + at("wrong"), "no graph of the index's shape");
  }
}

TEST_F(WithGraph, Mistakes) {
  const std::string index = "index --run " + at("refused") + " --set vectors=" + at("p_base") +
                            " --set index.graph=true ",
                    asked = "search --run " + at("refused") + " --set index=" + at("graph") +
                            " --set query.file=" + at("queries.fvecs") + " " + kByGraph;
  expect_refused(64, index + "--set graph.degree=3", "graph.degree");
  expect_refused(64, index + "--set graph.probes=0", "graph.probes");
  expect_refused(64, asked + "--set search.breadth=0", "search.breadth");
  expect_refused(64, asked + "--set search.radius=2", "within a radius");
  expect_refused(64, asked + "--set search.target_recall=0.9", "search.target_recall");
  expect_refused(64, asked + "--where \"lang = 'de'\"", "filter");
  expect_refused(64, asked + "--set evaluate.breadth=[0] --evaluate", "evaluate.breadth");
  EXPECT_FALSE(std::filesystem::exists(folder() / "refused" / kManifestFile));
  testing::write_vectors<float>(folder() / "wide", clustered_vectors(2000, 300, 1), 300);
  expect_refused(64,
                 "index --run " + at("refused") + " --set vectors=" + at("wide") +
                     " --set index.graph=true --set memory_limit=1MiB",
                 "memory_limit");
  expect_done(2, "index --run " + at("wide_index") + " --set vectors=" + at("wide") +
                     " --set index.graph=true --set kmeans.iterations=1");
  testing::write_fvecs(folder() / "wide.fvecs", clustered_vectors(3, 300, 2), 300);
  expect_refused(64,
                 "search --run " + at("refused") + " --set index=" + at("wide_index") +
                     " --set query.file=" + at("wide.fvecs") + " --set memory_limit=1MiB " +
                     kByGraph,
                 "memory_limit");
}

TEST_F(WithGraph, IsEvaluatedBreadthByBreadth) {
  search("graph", kByGraph + "--evaluate --set evaluate.breadth=[10,100]");
  const json result = result_of("found");
  ASSERT_EQ(result["curve"].size(), 3u);
  EXPECT_EQ(result["curve"][0]["breadth"], 10);
  EXPECT_EQ(result["curve"][1]["breadth"], 64);
  EXPECT_GE(result["curve"][2]["recall_at_10"], result["curve"][0]["recall_at_10"]);
  EXPECT_EQ(result["breadth"], 64);
  EXPECT_EQ(read_text(folder() / "found/curve.csv").substr(0, 8), "breadth,");
}

TEST_F(WithGraph, IsSearchedBesideOthers) {
  const std::string both = "search --run " + at("found") + " --set 'index=[\"" + at("graph") +
                           "\", \"" + at("few_of_many") +
                           "\"]' --set query.file=" + at("queries.fvecs") + " ";
  build("few_of_many", "p_later", graph());
  expect_done(2, both + "--set search.mode=exact");
  const Found exact = testing::read_neighbors(folder() / "found");
  expect_done(2, both + kAll);
  EXPECT_EQ(testing::read_neighbors(folder() / "found").ids, exact.ids);
}

TEST_F(WithGraph, GoesToHnswlib) {
  const std::string exported = "export --set export.format=hnswlib --set export.from=";
  expect_done(1, exported + at("graph") + " --run " + at("out"));
  const std::string file = read_text(folder() / "out/index.hnswlib");
  const HnswlibIndex shape{kDim, kBase, 16, {}};
  const std::string header = hnswlib_header(shape);
  EXPECT_EQ(file.substr(0, 48), header.substr(0, 48));
  const auto bytes = std::size_t(hnswlib_vector_bytes(shape));
  EXPECT_EQ(file[48], 2);  // levels above
  EXPECT_GT(file.size(), header.size() + std::size_t(kBase) * bytes);
  std::set<std::uint64_t> labels;
  const GraphParts graph = read_graph(open_index(folder() / "graph"));
  for (std::int64_t v = 0; v < kBase; ++v) {
    const char* at = file.data() + header.size() + std::size_t(v) * bytes;
    std::uint64_t label = 0;
    std::int32_t edge = 0;
    std::memcpy(&edge, at + 4, 4);
    std::memcpy(&label, at + bytes - 8, 8);
    EXPECT_EQ(edge, graph.edges[v * 16]);
    labels.insert(label);
  }
  EXPECT_EQ(labels.size(), std::size_t(kBase));
  EXPECT_EQ(*labels.rbegin(), std::uint64_t(10 * (kBase - 1)));

  expect_refused(65, exported + at("p_index") + " --run " + at("refused"), "no graph");
  expect_refused(64, exported + at("p_base") + " --run " + at("refused"), "export.format");
  const auto full =
      run_command("TUTTI_FAULT=pwrite:1:ENOSPC:index.hnswlib LD_PRELOAD=" TUTTI_FAULT_IO " " +
                  tutti_command(1, exported + at("graph") + " --run " + at("full")));
  EXPECT_EQ(full.exit_code, 74) << full.output;
  EXPECT_FALSE(std::filesystem::exists(folder() / "full/index.hnswlib"));
}

}  // namespace
}  // namespace tutti
