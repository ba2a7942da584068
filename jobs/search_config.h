// What a search is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "jobs/index_searcher.h"
#include "jobs/query_source.h"
#include "jobs/search_evaluation.h"
#include "runtime/base/config.h"

namespace tutti {

struct SearchConfig {
  std::vector<std::string> index;
  std::string dataset, mode = "probe", where, where_plan = "auto", rank_by = "auto",
                       codes = "whole", by = "lists";
  QueryConfig queries;
  EvaluationConfig evaluation;
  double target_recall = 0;
  std::int64_t k = 10, nprobe = 16, breadth = 64, candidates = 0, batch = 16384, show = 5,
               range_limit = 0;
  std::optional<double> radius;  // instead of k
  std::int64_t memory = std::int64_t(1) << 30;

  void describe(Schema& schema);
  // Throws Error(usage).
  void check() const;

  SearchScope::Plan plan() const;
  SearchScope::RankBy ranking() const;
  bool by_graph() const { return by == "graph" && mode != "exact"; }
  CodeParts code_parts() const;
  // Queries that are searched for at a time, as their source has them.
  std::int64_t batch_of(const QuerySource& source) const;
};

}  // namespace tutti
