#include "runtime/data/hnswlib_file.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::int64_t kEdge = sizeof(std::uint32_t);  // also of their number
constexpr std::int64_t kLabel = sizeof(std::uint64_t);

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What new vectors would get, if any were added.
std::int64_t usual_edges(const HnswlibIndex& index) {
  return std::max<std::int64_t>(2, index.degree / 2);
}

// Places for a vertex's edges on each level above.
std::int64_t upper_edges(const HnswlibIndex& index) {
  std::int64_t most = usual_edges(index);
  for (const HnswlibUpper& upper : index.upper)
    for (const auto& edges : upper.edges) most = std::max(most, std::ssize(edges));
  return most;
}

}  // namespace

std::string hnswlib_header(const HnswlibIndex& index) {
  std::size_t levels = 0;
  std::int32_t first = 0;
  for (const HnswlibUpper& upper : index.upper) {
    if (upper.edges.size() <= levels) continue;
    levels = upper.edges.size();
    first = upper.vertex;
  }
  CHECK(upper_edges(index) <= 65535);
  const std::int64_t edges = kEdge + index.degree * kEdge,
                     vector = index.dimension * std::int64_t(sizeof(float));
  std::string out;
  put(out, std::uint64_t(0));            // where the lowest level begins in an element
  put(out, std::uint64_t(index.count));  // most elements
  put(out, std::uint64_t(index.count));
  put(out, std::uint64_t(edges + vector + kLabel));  // bytes of an element
  put(out, std::uint64_t(edges + vector));           // where its label is
  put(out, std::uint64_t(edges));                    // where its vector is
  put(out, std::int32_t(levels));                    // the highest level
  put(out, std::uint32_t(first));                    // where searches begin
  put(out, std::uint64_t(upper_edges(index)));
  put(out, std::uint64_t(index.degree));
  put(out, std::uint64_t(usual_edges(index)));
  put(out, 1 / std::log(double(usual_edges(index))));  // how levels of new vectors are drawn
  put(out, std::uint64_t(200));                        // breadth of their search for neighbours
  return out;
}

std::int64_t hnswlib_vector_bytes(const HnswlibIndex& index) {
  return kEdge + index.degree * kEdge + index.dimension * std::int64_t(sizeof(float)) + kLabel;
}

void append_hnswlib_vector(std::string& out, const HnswlibIndex& index,
                           const HnswlibVector& vector) {
  const auto edges = std::int64_t(vector.edges.size());
  CHECK(edges <= index.degree && edges <= 65535 &&
        std::int64_t(vector.values.size()) == index.dimension);
  put(out, std::uint16_t(edges));
  put(out, std::uint16_t(vector.deleted));
  out.append(reinterpret_cast<const char*>(vector.edges.data()), vector.edges.size_bytes());
  out.append(std::size_t((index.degree - edges) * kEdge), '\0');
  out.append(reinterpret_cast<const char*>(vector.values.data()), vector.values.size_bytes());
  put(out, std::uint64_t(vector.label));
}

std::string hnswlib_upper_levels(const HnswlibIndex& index) {
  const std::int64_t room = upper_edges(index) * kEdge;
  std::string out;
  std::int64_t vertex = 0;
  const auto put_lower = [&](std::int64_t end) {
    out.append(std::size_t((end - vertex) * kEdge), '\0');
  };
  for (const HnswlibUpper& upper : index.upper) {
    CHECK(upper.vertex >= vertex && upper.vertex < index.count);
    put_lower(upper.vertex);
    vertex = upper.vertex + 1;
    put(out, std::uint32_t(std::ssize(upper.edges) * (kEdge + room)));
    for (const std::vector<std::int32_t>& edges : upper.edges) {
      put(out, std::uint32_t(edges.size()));
      out.append(reinterpret_cast<const char*>(edges.data()), edges.size() * kEdge);
      out.append(std::size_t(room) - edges.size() * kEdge, '\0');
    }
  }
  put_lower(index.count);
  return out;
}

}  // namespace tutti
