// Indexes that are searched as one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "jobs/entry_filter.h"
#include "jobs/index_folder.h"

namespace tutti {

// Of one metric and dimension, and where models embedded the vectors of one model. Immutable.
class IndexSet {
 public:
  // The same versions on all ranks. Collective; throws Error on all ranks as open_index does, and
  // Error(usage) where one does not go with the first.
  IndexSet(Comm& comm, const std::vector<std::string>& folders);

  std::int64_t size() const { return std::ssize(indexes_); }
  bool several() const { return size() > 1; }
  const IndexFolder& operator[](std::int64_t place) const { return indexes_[std::size_t(place)]; }
  const IndexFolder& front() const { return indexes_.front(); }
  // The first whose vectors a model embedded, or else the first.
  const IndexFolder& embedded() const;

  Metric metric() const { return front().metric; }
  std::int64_t dim() const { return front().dim; }
  // Over all indexes.
  std::int64_t vectors() const;
  std::int64_t lists() const;
  // Of one of them.
  std::int64_t most_lists() const;

  // A filter over each index's columns. Local; throws Error(data) where it is none of them.
  std::vector<EntryFilter> filters(const std::string& where) const;
  // Puts into a manifest's metadata which indexes these are.
  void describe(nlohmann::json& metadata) const;

 private:
  void check(const IndexFolder& other) const;

  std::vector<IndexFolder> indexes_;
};

}  // namespace tutti
