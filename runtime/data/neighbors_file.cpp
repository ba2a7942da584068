#include "runtime/data/neighbors_file.h"

#include "runtime/base/check.h"
#include "runtime/data/paths.h"

namespace tutti {

NeighborsWriter::NeighborsWriter(const std::filesystem::path& folder, const NeighborsShape& shape)
    : file_(folder / kNeighborsFile,
            {{"/neighbors", DType::i64, {shape.queries, shape.k}, {}},
             {"/distances", DType::f32, {shape.queries, shape.k}, {}}},
            {{"type", std::string("dense")},
             {"distance", shape.distance},
             {"dimension", shape.dim},
             {"point_type", std::string("float")}}) {}

void NeighborsWriter::append(std::span<const std::int64_t> ids, std::span<const float> distances) {
  CHECK(ids.size() == distances.size());
  file_.append(0, std::as_bytes(ids));
  file_.append(1, std::as_bytes(distances));
}

}  // namespace tutti
