// Files of true neighbours in the formats that are ours to parse, that is all but HDF5. The first
// byte chooses the format.
#include <vector>

#include "runtime/data/ground_truth.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  constexpr const char* kFormats[] = {"bin", "ivecs", "npy"};
  constexpr std::int64_t kLargest = 1000;
  std::string_view bytes = fuzz::text_of(data, size);
  const char* format = kFormats[fuzz::take_byte(bytes) % 3];
  const fuzz::MemoryFile memory(bytes);
  fuzz::accepts([&] {
    const GroundTruth truth(memory.path(), format);
    CHECK(truth.queries() > 0 && truth.k() > 0);
    // However the header lies, there is no more to read than there are bytes.
    CHECK(truth.queries() * truth.k() * 4 <= std::int64_t(bytes.size()));
    std::vector<std::int64_t> ids(std::size_t(truth.queries() * truth.k()));
    truth.read_rows(0, truth.queries(), kLargest, ids);
    for (const std::int64_t id : ids) CHECK(id >= -1 && id <= kLargest);
  });
  return 0;
}
