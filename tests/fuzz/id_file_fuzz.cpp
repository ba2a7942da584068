// A file of ids, of each type that an index may have.
#include "runtime/data/id_file.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  for (const auto type : {ExternalIdType::none, ExternalIdType::integer, ExternalIdType::text})
    fuzz::accepts([&] {
      const IdFile ids(std::string(fuzz::text_of(data, size)), "here", type);
      CHECK(ids.count() == std::int64_t(ids.keys().size()));
      for (std::int64_t i = 0; i < ids.count(); ++i) {
        CHECK(!ids.text(i).empty() && ids.text(i).find('\n') == std::string_view::npos);
        CHECK(type != ExternalIdType::text || ids.keys()[std::size_t(i)] == id_key(ids.text(i)));
        CHECK(ids.place_of(i).starts_with("here, line "));
      }
    });
  return 0;
}
