#include "runtime/data/schema.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

using nlohmann::json;

const TableSchema kTable = {
    "passages",
    {ColumnSchema::scalar("page", DType::i64), ColumnSchema::vector("v-1", DType::bf16, 128),
     ColumnSchema::ragged("tokens", DType::i32)}};

TEST(Schema, survives_json) {
  EXPECT_EQ(table_schema_from_json(to_json(kTable), "here"), kTable);
  EXPECT_EQ(kTable.find("tokens"), 2);
  EXPECT_EQ(kTable.find("token"), -1);
}

TEST(Schema, columns_are_datasets) {
  EXPECT_EQ(column_dataset(kTable, kTable.columns[0]), "/passages/page");
  EXPECT_EQ(column_dataset(kTable, kTable.columns[2]), "/passages/tokens/values");
  EXPECT_EQ(offsets_dataset(kTable, kTable.columns[2]), "/passages/tokens/offsets");
}

TEST(Schema, what_is_no_schema_is_bad_data) {
  const std::vector<std::pair<std::string, json>> changes = {{"/name", "a/b"},
                                                             {"/name", ""},
                                                             {"/name", 1},
                                                             {"/columns", 5},
                                                             {"/columns/0/name", ".."},
                                                             {"/columns/0/name", "tokens"},
                                                             {"/columns/0/dtype", "x"},
                                                             {"/columns/0/kind", "x"},
                                                             {"/columns/0/width", 2},
                                                             {"/columns/1/width", 0},
                                                             {"/columns/2/width", 3}};
  for (const auto& [pointer, value] : changes) {
    json bad = to_json(kTable);
    bad[json::json_pointer(pointer)] = value;
    try {
      table_schema_from_json(bad, "here");
      ADD_FAILURE() << pointer << " = " << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
    }
  }
}

}  // namespace
}  // namespace tutti
