// search.radius: all vectors within a distance of each query, instead of the k nearest.
#pragma once

#include <span>

#include "jobs/entry_filter.h"
#include "jobs/index_set.h"
#include "jobs/job.h"
#include "jobs/query_source.h"
#include "jobs/search_config.h"

namespace tutti {

// Searches, and writes an artefact of kind `ranges`. The configuration, which has been checked, has
// a radius; there are no filters, or one an index. Collective; throws Error on all ranks.
ExitCode run_range_search(JobContext& context, const SearchConfig& config, const IndexSet& indexes,
                          std::span<const EntryFilter> filters, QuerySource& queries);

}  // namespace tutti
