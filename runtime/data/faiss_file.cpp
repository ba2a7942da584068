#include "runtime/data/faiss_file.h"

#include "runtime/base/check.h"

namespace tutti {
namespace {

constexpr std::int32_t kInnerProduct = 0, kL2 = 1;

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}
template <class T>
void put_all(std::string& out, std::span<const T> values) {
  out.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

// What every index begins with, behind its four letters.
void put_index(std::string& out, const FaissIndex& index) {
  constexpr std::int64_t kUnused = 1 << 20;
  put(out, std::int32_t(index.dimension));
  put(out, index.count);
  put(out, kUnused);
  put(out, kUnused);
  put(out, std::uint8_t(1));  // trained
  put(out, index.inner_product ? kInnerProduct : kL2);
}

}  // namespace

std::string faiss_flat_header(const FaissIndex& index) {
  std::string out = index.inner_product ? "IxFI" : "IxF2";
  put_index(out, index);
  put(out, std::uint64_t(index.count * index.dimension));  // in units of four bytes
  return out;
}

std::string faiss_lists_header(const FaissIndex& index, std::span<const float> centroids,
                               std::int64_t nprobe, std::span<const std::int64_t> sizes) {
  const auto lists = std::uint64_t(sizes.size());
  const auto code_size = std::uint64_t(index.dimension) * sizeof(float);
  CHECK(centroids.size_bytes() == lists * code_size);
  std::string out = "IwFl";
  put_index(out, index);
  put(out, lists);
  put(out, std::uint64_t(nprobe));
  out += faiss_flat_header({index.dimension, std::int64_t(lists), index.inner_product});
  put_all(out, centroids);
  put(out, std::uint8_t(0));   // no map from ids to places,
  put(out, std::uint64_t(0));  // which is empty
  out += "ilar";
  put(out, lists);
  put(out, code_size);
  out += "full";
  put(out, lists);
  put_all(out, sizes);
  return out;
}

}  // namespace tutti
