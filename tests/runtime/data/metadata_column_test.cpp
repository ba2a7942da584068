#include "runtime/data/metadata_column.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

TEST(MetadataColumn, NamesAndTypes) {
  const auto column = parse_metadata_column("lang:category", "metadata.columns");
  EXPECT_EQ(column, (MetadataColumn{"lang", MetadataType::category}));
  EXPECT_EQ(schema_of(column), ColumnSchema::scalar("lang", DType::i32));
  EXPECT_EQ(schema_of(parse_metadata_column("t:tags", "")), ColumnSchema::ragged("t", DType::i32));
  EXPECT_EQ(schema_of(parse_metadata_column("n-1:integer", "")),
            ColumnSchema::scalar("n-1", DType::i64));
  EXPECT_EQ(schema_of(parse_metadata_column("s:float", "")), ColumnSchema::scalar("s", DType::f64));
  for (const char* wrong : {"", "lang", "lang:", ":integer", "lang:text", "a b:integer", "é:float",
                            "id:integer", "vector:tags", "external_id:integer", "a/b:float"}) {
    try {
      parse_metadata_column(wrong, "metadata.columns");
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_EQ(error.place(), "metadata.columns");
    }
  }
}

TEST(MetadataColumn, Codes) {
  const MetadataColumn column{"lang", MetadataType::category, {"", "de", "en"}};
  EXPECT_EQ(column.code_of(""), 0);
  EXPECT_EQ(column.code_of("en"), 2);
  EXPECT_EQ(column.code_of("e"), kNoCode);
  EXPECT_EQ(column.code_of("zz"), kNoCode);
}

TEST(MetadataColumn, TheFileOfColumns) {
  const std::vector<MetadataColumn> columns = {{"year", MetadataType::integer},
                                               {"lang", MetadataType::category, {"de", "é"}},
                                               {"tags", MetadataType::tags, {}}};
  EXPECT_EQ(columns_from_text(columns_text(columns), "columns.json"), columns);
  EXPECT_EQ(columns_text({columns.data(), 1}),
            "{\"columns\":[{\"name\":\"year\",\"type\":\"integer\"}]}\n");
  for (const char* wrong :
       {"{\"columns\":[{\"name\":\"a\",\"type\":\"float\"},{\"name\":\"a\",\"type\":\"tags\","
        "\"values\":[]}]}",
        "", "[]", "{\"columns\":1}", "{\"columns\":[{\"name\":\"a\"}]}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"b\"}]}",
        "{\"columns\":[{\"name\":\"a/b\",\"type\":\"integer\"}]}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"category\"}]}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"tags\",\"values\":[\"b\",\"a\"]}]}",
        "{\"columns\":[{\"name\":\"a\",\"type\":\"tags\",\"values\":[\"b\",\"b\"]}]}"}) {
    try {
      columns_from_text(wrong, "columns.json");
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data) << wrong;
      EXPECT_EQ(error.place(), "columns.json");
    }
  }
}

}  // namespace
}  // namespace tutti
