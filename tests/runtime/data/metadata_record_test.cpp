#include "runtime/data/metadata_record.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

const MetadataFields kFields{{{"year", MetadataType::integer},
                              {"score", MetadataType::real},
                              {"lang", MetadataType::category},
                              {"tags", MetadataType::tags}},
                             "",
                             ExternalIdType::none};

std::string problem_of(const std::string& line, const MetadataFields& fields = kFields) {
  MetadataRecord record;
  return parse_metadata(line, fields, record).value_or("none");
}

TEST(MetadataRecord, Values) {
  MetadataRecord record;
  ASSERT_FALSE(parse_metadata(R"({"tags": ["b", "a", "b"], "year": -7, "other": {"year": "x"},
                                  "score": 2, "lang": ""})",
                              kFields, record));
  EXPECT_EQ(record.values[0].integer, -7);
  EXPECT_EQ(record.values[1].real, 2.0);
  EXPECT_EQ(record.values[2].strings, (std::vector<std::string>{""}));
  EXPECT_EQ(record.values[3].strings, (std::vector<std::string>{"b", "a", "b"}));
  for (const MetadataValue& value : record.values) EXPECT_TRUE(value.is_there && !value.is_null);
  ASSERT_FALSE(parse_metadata(R"({"year": null, "tags": []})", kFields, record));
  EXPECT_TRUE(record.values[0].is_there && record.values[0].is_null);
  EXPECT_TRUE(!record.values[1].is_there && record.values[1].is_null);
  EXPECT_FALSE(record.values[3].is_null) << "no tags are not no value";
  ASSERT_FALSE(parse_metadata(R"({"year": 9223372036854775807})", kFields, record));
  EXPECT_EQ(record.values[0].integer, 9223372036854775807);
}

TEST(MetadataRecord, WhatIsWrong) {
  EXPECT_EQ(problem_of("[1]"), "expected a JSON object");
  EXPECT_EQ(problem_of(R"({"year": "7"})"),
            "the field \"year\" is a string; expected an integer within +-(2^63 - 1)");
  EXPECT_EQ(problem_of(R"({"year": 7.0})"),
            "the field \"year\" is a number with a fraction or an exponent; expected an integer "
            "within +-(2^63 - 1)");
  for (const char* number : {"9223372036854775808", "-9223372036854775808"})
    EXPECT_EQ(problem_of(std::string("{\"year\":") + number + "}"),
              "the field \"year\" is an integer; expected an integer within +-(2^63 - 1)");
  EXPECT_EQ(problem_of(R"({"score": true})"),
            "the field \"score\" is true or false; expected a number");
  EXPECT_EQ(problem_of(R"({"lang": 5})"), "the field \"lang\" is an integer; expected a string");
  EXPECT_EQ(problem_of(R"({"tags": "a"})"),
            "the field \"tags\" is a string; expected a list of strings");
  EXPECT_EQ(problem_of(R"({"tags": ["a", 1]})"),
            "the field \"tags\" is a list; expected a list of strings");
  EXPECT_TRUE(problem_of(R"({"year": 1)").starts_with("malformed JSON at byte "));
  EXPECT_TRUE(problem_of(R"({"score": 1e999})").starts_with("malformed JSON at byte "));
}

TEST(MetadataRecord, ExternalIds) {
  const MetadataFields integers{{}, "key", ExternalIdType::integer},
      texts{{}, "key", ExternalIdType::text};
  MetadataRecord record;
  ASSERT_FALSE(parse_metadata(R"({"key": -3})", integers, record));
  EXPECT_EQ(id_of(record, integers), "-3");
  ASSERT_FALSE(parse_metadata(R"({"key": "é"})", texts, record));
  EXPECT_EQ(id_of(record, texts), "é");
  EXPECT_EQ(problem_of("{}", texts), "the record has no field \"key\", which is to name it");
  EXPECT_EQ(problem_of(R"({"key": null})", integers),
            "the record has no field \"key\", which is to name it");
  EXPECT_EQ(problem_of(R"({"key": 3})", texts),
            "the field \"key\" is an integer; expected a string");
  EXPECT_EQ(problem_of(R"({"key": ""})", texts), "the field \"key\" is empty");
  EXPECT_EQ(problem_of(R"({"key": 1.5})", integers).substr(0, 41),
            "the field \"key\" is a number with a fracti");
}

}  // namespace
}  // namespace tutti
