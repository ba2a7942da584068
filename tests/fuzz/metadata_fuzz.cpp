// A line of metadata, with each kind of id, and an artefact's file of columns.
#include "runtime/data/metadata_record.h"
#include "runtime/data/utf8.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  const std::string text(fuzz::text_of(data, size));
  MetadataFields fields{{{"n", MetadataType::integer},
                         {"x", MetadataType::real},
                         {"c", MetadataType::category},
                         {"t", MetadataType::tags}},
                        "id",
                        ExternalIdType::none};
  for (const auto type : {ExternalIdType::none, ExternalIdType::integer, ExternalIdType::text}) {
    fields.id_type = type;
    MetadataRecord record;
    if (const auto problem = parse_metadata(text, fields, record)) {
      CHECK(!problem->empty() && utf8_prefix(*problem) == problem->size(), *problem);
      continue;
    }
    for (const MetadataValue& value : record.values)
      for (const std::string& string : value.strings) CHECK(utf8_prefix(string) == string.size());
    CHECK(record.values[0].integer != kNullInteger &&
          record.values[1].real == record.values[1].real);
    CHECK(type != ExternalIdType::text || !record.id_text.empty());
  }
  fuzz::accepts([&] {
    const auto columns = columns_from_text(text, "columns.json");
    CHECK(columns_from_text(columns_text(columns), "columns.json") == columns);
  });
  return 0;
}
