// A file of tensors. What is taken has tensors that fill the file to its end, and can be read.
#include "runtime/data/safetensors.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const fuzz::MemoryFile memory(fuzz::text_of(data, size));
  fuzz::accepts([&] {
    const SafetensorsFile file(memory.path());
    std::int64_t end = -1;
    for (const TensorEntry& tensor : file.tensors()) {
      CHECK(tensor.begin >= 8 && (end < 0 || tensor.begin == end));
      end = tensor.end;
      // However the shape lies, there are no more elements than bytes.
      CHECK(tensor.elements() >= 0 && tensor.elements() <= std::int64_t(size));
      std::vector<float> values(std::size_t(tensor.elements()));
      CHECK(fuzz::accepts([&] { file.read(tensor, values); }) == is_float_type(tensor.dtype));
    }
    CHECK(end < 0 || end == std::int64_t(size));
  });
  return 0;
}
