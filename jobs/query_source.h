// Where the search job's queries come from: texts, a file of texts or vectors, or a dataset's
// documents.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "runtime/base/config.h"

namespace tutti {

struct QueryConfig {
  std::vector<std::string> text;
  std::string file, dataset, split = "heldout";
  std::string model, dtype = "auto";
  std::int64_t block = 128;

  void describe(Schema& schema);
  // Throws Error(usage) unless exactly one source is named, with a model where it needs one.
  void check() const;
};

// Queries as vectors of the index's dimension.
class QuerySource {
 public:
  virtual ~QuerySource() = default;

  virtual std::int64_t count() const = 0;
  // Queries are loaded in ranges that begin at a multiple of this.
  virtual std::int64_t granule() const { return 1; }
  // Queries [range.begin, range.end), row-major, the same on every rank. Collective; throws Error
  // on all ranks.
  virtual std::vector<float> load(Range range) = 0;
  // Where a query was read, for messages ("queries.jsonl:7").
  virtual std::string place_of(std::int64_t query) const = 0;

  // The questions of query.text as asked, one a query; else none.
  std::vector<std::string> texts;
  // The passages (rows of the dataset that was indexed) of each query's own document, where queries
  // are documents'.
  std::vector<Range> own_passages;
};

// Finds the queries that the configuration names; texts are embedded by the model, `block` at a
// time whatever the ranks. Throws Error on all ranks: where there are none, where they or the model
// do not fit the index. Collective; the index must outlive the source.
std::unique_ptr<QuerySource> open_queries(JobContext& context, const QueryConfig& config,
                                          const IndexFolder& index);

// As source.load, as the index wants them: of unit length under cosine. Collective; throws Error on
// all ranks, also where one cannot be searched for.
std::vector<float> load_checked(JobContext& context, QuerySource& source, Range range,
                                const IndexFolder& index);

// A few of the queries, spread evenly over them, by load_checked, for ranks to share an index's
// lists out by; none where there are so few that these would be too many, nor for one rank.
// Collective; throws Error on all ranks.
std::vector<float> load_sample(JobContext& context, QuerySource& source, const IndexFolder& index);

}  // namespace tutti
