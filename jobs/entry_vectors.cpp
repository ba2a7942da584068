#include "jobs/entry_vectors.h"

#include <algorithm>
#include <span>

#include "jobs/vector_column.h"

namespace tutti {

EntryVectors::EntryVectors(const IndexFolder& index, Range entries, const EntrySet* wanted)
    : type_(index.storage), dim_(index.dim) {
  VectorColumn column(index.dataset, "entries");
  const std::int64_t bytes = column.row_bytes(),
                     total = wanted ? wanted->count(entries) : entries.size();
  vectors_.grow(total * bytes);
  ids_.reserve(std::size_t(total));
  in_pieces(entries.size(), bytes, [&](std::int64_t at, std::int64_t rows) {
    const std::int64_t first = entries.begin + at;
    const auto vectors = column.read(first, rows);
    const auto ids = column.read_ids(first, rows);
    for (std::int64_t i = 0, end = 0; i < rows; i = end) {
      const auto is_wanted = [&](std::int64_t row) {
        return !wanted || wanted->contains(first + row);
      };
      for (end = i + 1; end < rows && is_wanted(end) == is_wanted(i);) ++end;
      if (!is_wanted(i)) continue;
      std::copy_n(vectors.data() + i * bytes, (end - i) * bytes, vectors_.data() + count() * bytes);
      ids_.insert(ids_.end(), ids.begin() + i, ids.begin() + end);
    }
  });
}

VectorRows EntryVectors::rows() const { return {vectors_.data(), type_, count(), dim_, dim_}; }

}  // namespace tutti
