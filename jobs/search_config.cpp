#include "jobs/search_config.h"

#include "runtime/base/error.h"

namespace tutti {

void SearchConfig::describe(Schema& s) {
  s.key("index", &index,
        "folder of an index, as the index job leaves it, or a list of such folders, which are "
        "searched "
        "as one");
  s.require("index");
  queries.describe(s);
  s.key("dataset", &dataset,
        "folder of the text dataset that was indexed, for its passages; default: where it was");
  s.key("search.k", &k, "neighbours", "so many nearest neighbours of each query");
  s.key("search.radius", &radius, "distance",
        "instead of so many: all vectors that are no farther from a query, by the distance that "
        "neighbours are given with. l2: the Euclidean distance, not squared; cosine: 1 - cosine; "
        "inner_product: all vectors whose product with the query is at least this");
  s.key("search.range_limit", &range_limit, "neighbours",
        "with search.radius, at most so many of each query, the nearest; 0: all");
  s.choice("search.mode", &mode, {"probe", "exact", "both"},
           "probe: the nearest lists only; exact: all vectors; both: probe, and its recall "
           "against exact");
  s.key("search.nprobe", &nprobe, "lists", "lists to look into for each query");
  s.choice("search.by", &by, {"lists", "graph"},
           "lists: look into those that are nearest to a query; graph: walk from vector to vector, "
           "by the graph that index.graph made. A query of a large batch is answered faster by "
           "lists, one of a few by the graph; each rank holds all vectors for it");
  s.key("search.breadth", &breadth, "vectors",
        "of search.by = \"graph\": the nearest that a walk keeps in view, until it has been at all "
        "of "
        "them: the more, the higher the recall; at least search.k");
  s.key("search.target_recall", &target_recall, "",
        "look into as many lists as reach this recall by what was measured when the index was "
        "built (index.target_recall), whatever search.nprobe is; 0: search.nprobe");
  s.choice("search.rank_by", &rank_by, {"auto", "codes", "distances"},
           "what decides in these lists: the vectors' codes, a byte a dimension, by which "
           "candidates are found whose distances are then measured, or the distances of all; auto: "
           "codes, where the index has a space for them, and distances with device = \"cuda\"");
  s.choice(
      "search.codes", &codes, {"whole", "prefix"},
      "what candidates are found by: all of the codes, or their first dimensions alone, of which "
      "more candidates are measured; where vectors do not fit memory_limit, only that is in "
      "memory, for 128 dimensions some 45 instead of 180 bytes a vector");
  s.key(
      "search.candidates", &candidates, "vectors",
      "candidates of each query; 0: half as many again as search.k, and 6 more at least, by whole "
      "codes, and four times search.k and 20 more by their prefix");
  s.key("search.where", &where,
        "a filter in the manner of SQL over the index's columns of metadata, such as \"lang = 'en' "
        "and year >= 2020\": only vectors that it is true of are found");
  s.choice("search.where_plan", &where_plan, {"auto", "exact", "lists"},
           "with search.where, look at all vectors that pass, or into as many lists as hold as "
           "many of them as search.nprobe lists have vectors; auto: what costs less");
  s.key("search.batch", &batch, "queries",
        "queries that are searched for at a time, and whose neighbours are in memory");
  s.key("search.show", &show, "passages", "best passages to print for each question");
  s.bytes(
      "memory_limit", &memory,
      "memory of a rank for the index: for all vectors and their codes, where they fit; else for "
      "the codes, and candidates' vectors are read from the shards; else for as many lists as "
      "fit at a time");
  evaluation.describe(s);
}

SearchScope::Plan SearchConfig::plan() const {
  using Plan = SearchScope::Plan;
  return where_plan == "exact"   ? Plan::exact
         : where_plan == "lists" ? Plan::lists
                                 : Plan::automatic;
}

SearchScope::RankBy SearchConfig::ranking() const {
  using RankBy = SearchScope::RankBy;
  return rank_by == "codes"       ? RankBy::codes
         : rank_by == "distances" ? RankBy::distances
                                  : RankBy::automatic;
}

CodeParts SearchConfig::code_parts() const {
  return codes == "prefix" ? CodeParts::prefix : CodeParts::whole;
}

void SearchConfig::check() const {
  const auto wrong = [](const std::string& what, const char* key, const char* fix) {
    throw Error(ExitCode::usage, what, key, fix);
  };
  if (index.empty()) wrong("there is no index to search", "index", "give the folder of one");
  if (index.size() > 1 && evaluation.wanted)
    wrong("an evaluation is of one index", "search.evaluate", "evaluate them one by one");
  if (index.size() > 1 && !dataset.empty())
    wrong("there are several indexes, and one dataset", "dataset",
          "leave it out: passages are shown from the datasets that were indexed, where they were");
  if (k < 1) wrong("at least one neighbour is wanted", "search.k", "10 is usual");
  if (nprobe < 1) wrong("at least one list must be looked into", "search.nprobe", "16 is usual");
  if (breadth < 1) wrong("a walk has a breadth", "search.breadth", "64 is usual");
  if (by_graph() && radius)
    wrong("what is within a radius is looked for in lists", "search.by", "give \"lists\"");
  if (by_graph() && !where.empty())
    wrong("what passes a filter is looked for in lists", "search.by", "give \"lists\"");
  if (by_graph() && target_recall > 0)
    wrong("the recall that an index knows is that of its lists", "search.target_recall",
          "give search.breadth, or search.by = \"lists\"");
  if (!(target_recall >= 0 && target_recall <= 1))
    wrong("a recall is at most 1", "search.target_recall", "0.95 is usual");
  if (candidates < 0) wrong("search.candidates is negative", "search.candidates", "0 is usual");
  if (candidates > 0 && candidates < k)
    wrong("there are fewer candidates than neighbours wanted", "search.candidates",
          "give at least search.k, or 0");
  if (batch < 1) wrong("a batch is at least one query", "search.batch", "16384 is usual");
  if (show < 0) wrong("search.show is negative", "search.show", "give 0 or more");
  if (range_limit < 0) wrong("search.range_limit is negative", "search.range_limit", "0: all");
  if (range_limit > 0 && !radius)
    wrong("there is a limit for a search within a radius, but no radius", "search.range_limit",
          "give search.radius, or search.k for the nearest");
  if (radius && evaluation.wanted)
    wrong("an evaluation is of the k nearest, not of a radius", "search.evaluate",
          "search.mode = \"both\" tells the recall within a radius");
  if (range_limit > 0 && mode == "both")
    wrong("recall within a radius is of all neighbours", "search.range_limit",
          "leave it out, or give search.mode = \"probe\"");
  if (memory < std::int64_t(1) << 20)
    wrong("too little memory to work in", "memory_limit", "give at least 1MiB");
  queries.check();
  evaluation.check();
}

std::int64_t SearchConfig::batch_of(const QuerySource& source) const {
  const std::int64_t granule = source.granule();
  return (batch + granule - 1) / granule * granule;
}

}  // namespace tutti
