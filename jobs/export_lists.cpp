#include "jobs/export_lists.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "jobs/index_lists.h"
#include "jobs/vector_column.h"
#include "kernels/vector/product_quantizer.h"
#include "runtime/base/error.h"
#include "runtime/data/faiss_file.h"
#include "runtime/data/vector_writer.h"
#include "runtime/io/output_file.h"

namespace tutti {
namespace {

constexpr std::int64_t kNprobe = 16;  // as search.nprobe
constexpr std::int64_t kPieceBytes = 4 << 20;
constexpr std::int64_t kSample = 256 * ProductQuantizer::kCodewords;  // as many as faiss takes
constexpr std::uint64_t kSeed = 1;

class ListsExport {
 public:
  explicit ListsExport(const IndexFolder& index)
      : index_(index),
        lists_(index),
        sizes_(lists_.sizes()),
        centroids_(index.read_centroids()),
        entries_(index.dataset, "entries"),
        piece_rows_(std::max<std::int64_t>(1, kPieceBytes / entries_.row_bytes())) {}

  void write_vectors(const std::filesystem::path& path) {
    const std::string header = faiss_lists_header(described(), centroids_, nprobe(), sizes_);
    write(path, header, index_.dim * std::int64_t(sizeof(float)),
          [&](std::int64_t, std::span<const float> vectors, OutputFile& file) {
            file.append(std::as_bytes(vectors));
          });
  }

  void write_codes(std::int64_t parts, const std::filesystem::path& path) {
    const std::vector<float> sample = sample_of_residuals();
    const ProductQuantizer quantizer(rows_of(sample), parts, kSeed);
    const std::string header = faiss_codes_header(described(), centroids_, nprobe(),
                                                  {parts, quantizer.codewords()}, sizes_);
    std::vector<std::uint8_t> codes;
    write(path, header, parts,
          [&](std::int64_t list, std::span<const float> vectors, OutputFile& file) {
            const std::vector<float> values = residuals(list, vectors);
            const ConstMatrixView<float> rows = rows_of(values);
            codes.resize(std::size_t(rows.rows * parts));
            quantizer.encode(rows, {codes.data(), rows.rows, parts});
            file.append(std::as_bytes(std::span(codes)));
          });
  }

 private:
  FaissIndex described() const { return {index_.dim, index_.vectors, index_.metric != Metric::l2}; }
  std::int64_t nprobe() const { return std::min(kNprobe, index_.nlist); }
  ConstMatrixView<float> rows_of(std::span<const float> values) const {
    return {values.data(), std::ssize(values) / index_.dim, index_.dim};
  }

  // Each list as append(list, some of its vectors, file) has it, then its ids. The vectors of a
  // cosine index are of unit length already.
  template <class Append>
  void write(const std::filesystem::path& path, const std::string& header,
             std::int64_t vector_bytes, Append&& append) {
    OutputFile file(path, std::int64_t(header.size()) +
                              index_.vectors * (vector_bytes + std::int64_t(sizeof(std::int64_t))));
    file.append(std::as_bytes(std::span(header)));
    for (std::int64_t list = 0; list < index_.nlist; ++list) {
      lists_.for_each_piece(list, piece_rows_,
                            [&](Range piece) { append(list, floats_of(piece), file); });
      lists_.for_each_piece(list, piece_rows_, [&](Range piece) {
        file.append(std::as_bytes(entries_.read_ids(piece.begin, piece.size())));
      });
    }
    file.finish();
  }

  std::span<const float> floats_of(Range piece) {
    ElementConverter converter(entries_.dtype(), DType::f32, index_.dim);
    const std::span<const std::byte> stored =
        converter.convert(entries_.read(piece.begin, piece.size()), piece.begin);
    floats_.resize(std::size_t(piece.size() * index_.dim));
    std::memcpy(floats_.data(), stored.data(), stored.size());
    return floats_;
  }

  std::vector<float> residuals(std::int64_t list, std::span<const float> vectors) const {
    const auto dim = std::size_t(index_.dim);
    return residuals_of(rows_of(vectors),
                        std::span(centroids_).subspan(std::size_t(list) * dim, dim));
  }

  // Of vectors spread evenly over all lists.
  std::vector<float> sample_of_residuals() {
    const std::int64_t wanted = std::min(kSample, index_.vectors);
    std::vector<float> sample;
    std::int64_t seen = 0, taken = 0;
    for (std::int64_t list = 0; list < index_.nlist; ++list)
      lists_.for_each_piece(list, piece_rows_, [&](Range piece) {
        const std::vector<float> values = residuals(list, floats_of(piece));
        for (std::int64_t i = 0; i < piece.size(); ++i, ++seen) {
          if (seen * wanted < taken * index_.vectors) continue;
          const auto row = values.begin() + i * index_.dim;
          sample.insert(sample.end(), row, row + index_.dim);
          ++taken;
        }
      });
    return sample;
  }

  const IndexFolder& index_;
  IndexLists lists_;
  std::vector<std::int64_t> sizes_;
  std::vector<float> centroids_;
  VectorColumn entries_;
  std::int64_t piece_rows_;
  std::vector<float> floats_;  // of the piece last read
};

}  // namespace

void check_code_parts(const IndexFolder& index, std::int64_t code_parts) {
  if (code_parts == 0) return;
  if (code_parts < 1 || index.dim % code_parts != 0)
    throw Error(
        ExitCode::usage,
        fmt::format("vectors of {} dimensions have no {} equal parts", index.dim, code_parts),
        "export.code_parts", "give a number that divides the dimension");
  if (index.vectors < ProductQuantizer::kCodewords)
    throw Error(ExitCode::usage,
                fmt::format("product quantisation is trained on {} vectors at least, there are {}",
                            ProductQuantizer::kCodewords, index.vectors),
                "export.code_parts", "export them whole: 0");
}

void export_lists(const IndexFolder& index, std::int64_t code_parts,
                  const std::filesystem::path& path) {
  ListsExport lists(index);
  if (code_parts == 0) return lists.write_vectors(path);
  try {
    lists.write_codes(code_parts, path);
  } catch (const std::invalid_argument& e) {
    throw Error(ExitCode::data, std::string("the vectors cannot be quantised: ") + e.what(),
                index.dataset.folder().string(), "export them whole");
  }
}

}  // namespace tutti
