// Files of vectors in the formats that are ours to parse, that is all but HDF5. The first byte
// chooses the format.
#include "runtime/data/vector_file.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  std::string_view bytes = fuzz::text_of(data, size);
  std::vector<std::string> formats = vector_formats();
  std::erase(formats, "hdf5");
  const std::string& format = formats[fuzz::take_byte(bytes) % formats.size()];
  const fuzz::MemoryFile memory(bytes);
  fuzz::accepts([&] {
    const VectorFile file(memory.path(), format);
    CHECK(file.rows() > 0 && file.dimension() > 0);
    // However the header lies, there is no more to read than there are bytes.
    CHECK(file.rows() * file.row_bytes() <= std::int64_t(bytes.size()));
    std::vector<std::byte> rows(std::size_t(file.rows() * file.row_bytes()));
    std::vector<std::int64_t> bad;
    file.read_rows(0, file.rows(), rows, &bad);
    for (const std::int64_t row : bad) CHECK(row >= 0 && row < file.rows());
    const auto last = std::span(rows).first(std::size_t(file.row_bytes()));
    const bool good = fuzz::accepts([&] { file.read_rows(file.rows() - 1, 1, last); });
    CHECK(good == (bad.empty() || bad.back() != file.rows() - 1));
  });
  return 0;
}
