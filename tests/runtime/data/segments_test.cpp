#include "runtime/data/segments.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

Manifest manifest_of(const json& segments) {
  Manifest manifest;
  manifest.tables = {{{"entries", {}}, {5, 0, 7}}};
  if (!segments.is_null()) manifest.metadata["segments"] = segments;
  return manifest;
}

TEST(Segments, one_of_all_shards_where_the_metadata_name_none) {
  const auto segments = segments_of(manifest_of(nullptr));
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].shards, (Range{0, 3}));
  EXPECT_EQ(segments[0].columns_file, "");
}

TEST(Segments, follow_one_another) {
  const auto segments = segments_of(manifest_of(
      json::parse(R"([{"shards": 2, "columns": "columns.json"}, {"shards": 1, "more": 3}])")));
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(segments[0].shards, (Range{0, 2}));
  EXPECT_EQ(segments[0].columns_file, "columns.json");
  EXPECT_EQ(segments[1].shards, (Range{2, 3}));
}

TEST(Segments, that_do_not_fit_are_refused) {
  for (const char* text :
       {"[]", "3", R"([{"shards": 2}])", R"([{"shards": 4}])", R"([{"shards": 3}, {"shards": 0}])",
        R"([{"shards": -1}, {"shards": 4}])", R"([{}])", R"([{"shards": 3, "columns": 1}])",
        R"([{"shards": 2}, {"shards": 9223372036854775807}])", R"([{"shards": 3.5}])"})
    EXPECT_THROW(segments_of(manifest_of(json::parse(text))), Error) << text;
}

}  // namespace
}  // namespace tutti
