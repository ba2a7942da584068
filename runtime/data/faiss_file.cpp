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

// What indexes of inverted lists have in common, behind their four letters.
void put_centroids(std::string& out, const FaissIndex& index, std::span<const float> centroids,
                   std::int64_t nprobe) {
  const std::int64_t lists = std::int64_t(centroids.size()) / index.dimension;
  put_index(out, index);
  put(out, std::uint64_t(lists));
  put(out, std::uint64_t(nprobe));
  out += faiss_flat_header({index.dimension, lists, index.inner_product});
  put_all(out, centroids);
  put(out, std::uint8_t(0));   // no map from ids to places,
  put(out, std::uint64_t(0));  // which is empty
}

void put_list_sizes(std::string& out, std::uint64_t code_size,
                    std::span<const std::int64_t> sizes) {
  out += "ilar";
  put(out, std::uint64_t(sizes.size()));
  put(out, code_size);
  out += "full";
  put(out, std::uint64_t(sizes.size()));
  put_all(out, sizes);
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
  const auto code_size = std::uint64_t(index.dimension) * sizeof(float);
  CHECK(centroids.size_bytes() == sizes.size() * code_size);
  std::string out = "IwFl";
  put_centroids(out, index, centroids, nprobe);
  put_list_sizes(out, code_size, sizes);
  return out;
}

std::string faiss_codes_header(const FaissIndex& index, std::span<const float> centroids,
                               std::int64_t nprobe, const FaissCodes& codes,
                               std::span<const std::int64_t> sizes) {
  constexpr std::uint64_t kBits = 8;
  CHECK(centroids.size() == sizes.size() * std::size_t(index.dimension));
  CHECK(codes.codewords.size() == std::size_t(index.dimension) << kBits);
  std::string out = "IwPQ";
  put_centroids(out, index, centroids, nprobe);
  put(out, std::uint8_t(1));  // of residuals
  put(out, std::uint64_t(codes.parts));
  put(out, std::uint64_t(index.dimension));
  put(out, std::uint64_t(codes.parts));
  put(out, kBits);
  put(out, std::uint64_t(codes.codewords.size()));
  put_all(out, codes.codewords);
  put_list_sizes(out, std::uint64_t(codes.parts), sizes);
  return out;
}

}  // namespace tutti
