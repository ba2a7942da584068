// search.radius: all vectors within a distance of each query, instead of the k nearest.
#pragma once

#include "jobs/entry_filter.h"
#include "jobs/index_folder.h"
#include "jobs/job.h"
#include "jobs/query_source.h"
#include "jobs/search_config.h"

namespace tutti {

// Searches, and writes an artefact of kind `ranges`. The configuration, which has been checked, has
// a radius; `filter` may be none. Collective; throws Error on all ranks.
ExitCode run_range_search(JobContext& context, const SearchConfig& config, const IndexFolder& index,
                          const EntryFilter* filter, QuerySource& queries);

}  // namespace tutti
