// A filter over columns of every type; one that parses is evaluated on rows of each kind.
#include <vector>

#include "runtime/data/filter.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  static const std::vector<MetadataColumn> columns = {{"n", MetadataType::integer},
                                                      {"x", MetadataType::real},
                                                      {"c", MetadataType::category, {"a", "b"}},
                                                      {"t", MetadataType::tags, {"a", "b"}}};
  const std::vector<std::int64_t> integers = {1, -5, kNullInteger};
  const std::vector<double> reals = {0.5, -1e9, kNullReal};
  const std::vector<std::int32_t> codes = {0, 1, kNullCode};
  const std::vector<std::int64_t> offsets = {0, 2, 2, 3};
  const std::vector<ColumnView> views = {{.integers = integers},
                                         {.reals = reals},
                                         {.codes = codes},
                                         {.codes = codes, .offsets = offsets}};
  fuzz::accepts([&] {
    const Filter filter(fuzz::text_of(data, size), columns);
    std::uint64_t bits = 0;
    filter.evaluate(views, 3, {&bits, 1});
    CHECK(bits < 8 && !filter.columns().empty());
  });
  return 0;
}
