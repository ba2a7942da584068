#include "runtime/base/config.h"

#include <fstream>
#include <optional>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

struct Values {
  std::int64_t steps = 100;
  double rate = 0.5;
  bool shuffle = true;
  std::optional<bool> sort;
  std::optional<double> radius;
  std::string name = "plain";
  std::vector<std::string> paths = {"a"};
  std::vector<std::int64_t> sizes = {1};
  double every = 60;
  std::int64_t memory = 1 << 20;
  std::string kind = "cosine";

  void describe(Schema& s) {
    s.key("train.steps", &steps, "steps", "how many updates");
    s.key("train.rate", &rate, "", "the learning rate");
    s.key("shuffle", &shuffle, "whether to shuffle");
    s.key("sort", &sort, "whether to sort");
    s.key("radius", &radius, "distance", "how far");
    s.key("input.name", &name, "what it is called");
    s.key("input.paths", &paths, "where it is");
    s.key("input.sizes", &sizes, "bytes", "how large it is");
    s.duration("checkpoint.every", &every, "time between checkpoints");
    s.bytes("memory", &memory, "how much");
    s.choice("train.schedule", &kind, {"cosine", "constant"}, "the schedule");
  }
};

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::usage);
    return e.what();
  }
  return "no error";
}

TEST(Config, ANumberOrNone) {
  Values v;
  Schema s;
  v.describe(s);
  EXPECT_NE(s.to_toml().find("radius = \"none\""), std::string::npos) << s.to_toml();
  s.set("radius=2");
  EXPECT_EQ(v.radius, 2);
  EXPECT_NE(s.to_toml().find("radius = 2.0"), std::string::npos) << s.to_toml();
  s.set("radius=none");
  EXPECT_EQ(v.radius, std::nullopt);
  for (const char* wrong : {"radius=nan", "radius=far", "radius=inf", "radius=[1]"})
    EXPECT_NE(message_of([&] { s.set(wrong); }).find("expected a finite number"), std::string::npos)
        << wrong;
}

TEST(Config, ListsOfIntegers) {
  Values v;
  Schema s;
  v.describe(s);
  s.set("input.sizes=[3, 4]");
  EXPECT_EQ(v.sizes, (std::vector<std::int64_t>{3, 4}));
  EXPECT_NE(s.to_toml().find("sizes = [3, 4]"), std::string::npos) << s.to_toml();
  s.set("input.sizes=5");
  EXPECT_EQ(v.sizes, std::vector<std::int64_t>{5});
  EXPECT_NE(message_of([&] { s.set("input.sizes=[1, 2.5]"); }).find("expected an integer"),
            std::string::npos);
}

TEST(Config, FileThenSettingsLaterOnesWin) {
  const std::string file = ::testing::TempDir() + "config_test.toml";
  std::ofstream(file) << "shuffle = false\nmemory = \"2MiB\"\n[train]\nsteps = 7\nrate = "
                         "2\n[input]\npaths = [\"x\", \"y\"]\n";
  Values v;
  Schema s;
  v.describe(s);
  s.load_file(file);
  EXPECT_EQ(v.steps, 7);
  EXPECT_EQ(v.rate, 2.0);
  EXPECT_FALSE(v.shuffle);
  EXPECT_EQ(v.memory, 2 << 20);
  EXPECT_EQ(v.paths, (std::vector<std::string>{"x", "y"}));
  setenv("TUTTI_TRAIN_STEPS", "8", 1);
  s.load_environment();
  unsetenv("TUTTI_TRAIN_STEPS");
  EXPECT_EQ(v.steps, 8);
  s.set("train.steps=9");
  s.set("input.name=two words");
  s.set("checkpoint.every=0:01:30");
  EXPECT_EQ(v.steps, 9);
  EXPECT_EQ(v.name, "two words");
  EXPECT_EQ(v.every, 90);
}

TEST(Config, WhatIsWrittenIsReadBack) {
  Values v;
  Schema s;
  v.describe(s);
  s.set("input.name=a \"quoted\" \\ name");
  s.set("train.rate=1e-3");
  const std::string file = ::testing::TempDir() + "config_round_trip.toml";
  std::ofstream(file) << s.to_toml();
  Values w;
  Schema t;
  w.describe(t);
  t.load_file(file);
  EXPECT_EQ(w.name, v.name);
  EXPECT_EQ(w.rate, 1e-3);
  EXPECT_EQ(t.to_toml(), s.to_toml());
}

TEST(Config, AChoiceBetweenTrueAndFalseMayBeLeftOpen) {
  Values v;
  Schema s;
  v.describe(s);
  EXPECT_NE(s.to_toml().find("sort = \"auto\""), std::string::npos);
  for (const bool value : {true, false}) {
    s.set(value ? "sort=true" : "sort=false");
    EXPECT_EQ(v.sort, value);
    EXPECT_NE(s.to_toml().find(value ? "sort = true" : "sort = false"), std::string::npos);
  }
  s.set("sort=auto");
  EXPECT_EQ(v.sort, std::nullopt);
  for (const char* bad : {"sort=1", "sort=maybe"})
    EXPECT_NE(message_of([&] { s.set(bad); }).find("true, false or \"auto\""), std::string::npos);
}

TEST(Config, MistakesNameThePlaceAndTheNearestKey) {
  Values v;
  Schema s;
  v.describe(s);
  EXPECT_NE(message_of([&] { s.set("train.stps=1"); }).find("train.steps"), std::string::npos);
  EXPECT_NE(message_of([&] { s.set("train.steps=many"); }).find("integer"), std::string::npos);
  EXPECT_NE(message_of([&] { s.set("train.steps"); }).find("a setting"), std::string::npos);
  EXPECT_NE(message_of([&] { s.set("train.schedule=linear"); }).find("constant"),
            std::string::npos);
  EXPECT_NE(message_of([&] { s.set("train.rate=nan"); }).find("finite"), std::string::npos);
  EXPECT_NE(message_of([&] { s.load_file("/nonexistent/x.toml"); }).find("/nonexistent/x.toml"),
            std::string::npos);
  const std::string file = ::testing::TempDir() + "config_broken.toml";
  std::ofstream(file) << "[train]\nsteps = \n";
  EXPECT_NE(message_of([&] { s.load_file(file); }).find("config_broken.toml:2"), std::string::npos);
}

TEST(Config, ASettingIsOneValueOfText) {
  Values v;
  Schema s;
  v.describe(s);
  s.set("input.name=1 # one\nother = 2");
  EXPECT_EQ(v.name, "1 # one\nother = 2");
  EXPECT_NE(message_of([&] { s.set("input.name=\xff"); }).find("UTF-8"), std::string::npos);
}

TEST(Config, RequiredKeysMustBeGiven) {
  Values v;
  Schema s;
  v.describe(s);
  s.require("input.paths");
  EXPECT_NE(message_of([&] { s.check_required(); }).find("input.paths"), std::string::npos);
  s.set("input.paths=somewhere");
  s.check_required();
  EXPECT_EQ(v.paths, std::vector<std::string>{"somewhere"});
}

TEST(Config, DurationsAndSizes) {
  EXPECT_EQ(parse_duration("1:02:03", ""), 3723);
  EXPECT_EQ(parse_duration("90", ""), 90);
  EXPECT_EQ(parse_duration("1.5h", ""), 5400);
  for (const char* bad : {"", "x", "1:99:00", "5 parsecs", "-1", "1:2", "-1:00:00", "1:00:00:00",
                          "1: 0: 0", "99999999999:00:00", "1e300d", "inf"})
    EXPECT_THROW(parse_duration(bad, "here"), Error) << bad;
  EXPECT_EQ(parse_bytes("512MiB", ""), 512 << 20);
  EXPECT_EQ(parse_bytes("1kB", ""), 1000);
  for (const char* bad : {"", "lots", "4 furlongs", "1e30GiB"})
    EXPECT_THROW(parse_bytes(bad, ""), Error) << bad;
}

TEST(Config, HelpTellsEveryKey) {
  Values v;
  Schema s;
  v.describe(s);
  const std::string help = s.help();
  for (const char* text :
       {"train.steps", "100; steps", "how many updates", "one of cosine, constant"})
    EXPECT_NE(help.find(text), std::string::npos) << text;
}

}  // namespace
}  // namespace tutti
