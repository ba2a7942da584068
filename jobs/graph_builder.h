// Adds a graph to an index, over all ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/index_graph.h"
#include "jobs/job.h"
#include "jobs/kept_ranges.h"
#include "jobs/list_chunk.h"
#include "kernels/core/arena.h"
#include "runtime/base/config.h"

namespace tutti {

struct GraphOptions {
  bool wanted = false;
  GraphShape shape;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check() const;
  // The same where a graph of so many vectors does not fit a rank's memory, or there are too many.
  void check_fits(std::int64_t vectors, std::int64_t dim, DType storage, std::int64_t memory) const;
};

// Each rank holds all vectors of the index and finds the neighbours of a range of them, which it
// keeps in the run folder as it goes, for a later start on any number of ranks. The edges are the
// same whatever the ranks.
class GraphBuilder {
 public:
  // Of an index of one segment with nothing deleted, which has a code space. Collective; throws
  // Error on all ranks. All outlive it.
  GraphBuilder(JobContext& context, const IndexFolder& index, const GraphShape& shape);

  // Writes graph.h5 into the index's folder; `files` gets it on the root. Collective; throws Error
  // on all ranks. Returns ExitCode::stopped where the job is to stop.
  ExitCode run(std::vector<FileRecord>& files);

 private:
  // An edge that another vertex has chosen.
  struct Edge {
    std::int32_t to, from;
  };

  void load();
  void take_kept(Range rows, std::string_view bytes);
  ExitCode find_near();
  bool find_next();
  std::vector<Edge> exchange();
  void add_incoming(std::vector<Edge> edges);
  void gather_on_root();
  bool is_known(std::int64_t row) const { return edges_[(row - my_rows_.begin) * degree_] != -2; }
  MatrixView<std::int32_t> rows(Range rows) {
    return {edges_.data() + (rows.begin - my_rows_.begin) * degree_, rows.size(), degree_};
  }

  JobContext& context_;
  Comm& comm_;
  const IndexFolder& index_;
  GraphShape shape_;
  std::int64_t degree_, entries_;
  Range my_rows_;
  ListChunk vectors_;
  std::optional<CodeSpace> space_;
  std::vector<float> centroids_;
  std::vector<std::int64_t> begins_;  // of the lists
  std::optional<GraphBuild> build_;
  AlignedBuffer<std::int32_t> edges_;  // of my_rows_; in the end, on the root, of all
  std::int64_t next_ = 0, known_ = 0;  // the first row that may not be known; how many are
  std::optional<KeptRanges> kept_;
};

// Gives the index in the run folder, which the manifest describes and which has none, a graph;
// until it has, it is an index without. One without vectors stays so. Collective; throws Error on
// all ranks. Returns ExitCode::stopped where the job is to stop.
ExitCode add_graph(JobContext& context, const GraphShape& shape, Manifest& manifest);

}  // namespace tutti
