// The update job as a user starts it: what is deleted is not found, what is added is found as if it
// had been indexed at once.
#include <sstream>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "jobs/index_folder.h"
#include "tests/jobs/changed_index.h"
#include "tests/support/process.h"

namespace tutti {
namespace {

using testing::Description;
using testing::Found;
using testing::read_text;
using testing::run_tutti;

class Update : public testing::ChangedIndex {
 protected:
  static void SetUpTestSuite() { make("update_test"); }
  static void TearDownTestSuite() { remove(); }

  static void write_ids(const std::string& file, const std::vector<std::string>& ids) {
    std::string text;
    for (const std::string& id : ids) text += id + "\n";
    testing::write_text(folder() / file, text);
  }
  static std::string deleting(const std::string& file) { return "--set update.delete=" + at(file); }
};

TEST_F(Update, DeletedVectorsAreNotFound) {
  copy("s_index", "deleted");
  std::vector<std::string> ids;
  for (std::int64_t row = 0; row < kBase; row += 3) ids.push_back(Description(row).doc());
  ids.push_back(ids.front());  // once is enough
  write_ids("ids.txt", ids);
  const auto by_name = change(2, "deleted", deleting("ids.txt"));
  EXPECT_EQ(by_name["deleted"], kBase / 3);
  EXPECT_EQ(by_name["live"], kBase - kBase / 3);
  EXPECT_EQ(by_name["segments"], 1);
  const auto by_filter =
      change(3, "deleted", "--set 'update.delete_where=\"year between 2005 and 2009\"'");
  const auto live = [](std::int64_t row) {
    const Description d(row);
    return row % 3 != 0 && !(d.is_known() && d.year() >= 2005 && d.year() <= 2009);
  };
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < kBase; ++row) count += live(row);
  EXPECT_EQ(by_filter["live"], count);
  EXPECT_EQ(by_filter["deleted"], kBase - kBase / 3 - count);
  expect_found("deleted", base(), live);
  expect_found(
      "deleted", base(),
      [&](std::int64_t row) {
        const Description d(row);
        return live(row) && d.is_known() && d.lang() == "en";
      },
      "--where \"lang = 'en'\"");
  const auto filtered = result_of("found");
  EXPECT_GT(filtered["where_passing"], 0);
  EXPECT_LT(filtered["where_passing"],
            filtered["where_passing"].get<double>() / filtered["selectivity"].get<double>());

  // Nothing of it is there any more to be deleted.
  EXPECT_EQ(change(1, "deleted", "--set 'update.delete_where=\"year = 2006\"'")["deleted"], 0);
  expect_refused(65, update("deleted", "mistake", deleting("ids.txt")), "ids.txt, line 1");
  EXPECT_EQ(change(2, "deleted",
                   deleting("ids.txt") + " --set update.on_unknown=skip")["unknown_skipped"],
            kBase / 3 + 1);
}

TEST_F(Update, AnIndexWithoutNamesIsDeletedFromByItsOwnIds) {
  copy("p_index", "by_id");
  write_ids("numbers.txt", {"0", "10", "70\r", "", "14990"});
  EXPECT_EQ(change(2, "by_id", deleting("numbers.txt"))["deleted"], 4);
  expect_found(
      "by_id", base(),
      [](std::int64_t row) { return row != 0 && row != 1 && row != 7 && row != kBase - 1; }, "",
      10);
  const auto all = change(2, "by_id", deleting("numbers.txt") + " --set update.on_unknown=skip");
  EXPECT_EQ(all["deleted"], 0);
  EXPECT_EQ(all["unknown_skipped"], 4);
}

TEST_F(Update, AnIndexOfWhichNothingIsLeftFindsNothing) {
  copy("s_index", "emptied");
  EXPECT_EQ(
      change(2, "emptied", "--set 'update.delete_where=\"year > 0 or year is null\"'")["live"], 0);
  for (const std::string how : {"--set search.mode=exact", "--where 'year > 0'", ""})
    for (const std::int64_t id : search("emptied", how).ids) EXPECT_EQ(id, -1) << how;
  EXPECT_EQ(change(2, "emptied", adding("s_again"))["live"], kAgain);
  expect_found("emptied", joined(base(), again()), [](std::int64_t id) { return id >= kBase; });
}

// An index of everything, and one to which the later vectors came later, around the same centroids.
TEST_F(Update, AddedVectorsAreFoundAsIfIndexedAtOnce) {
  for (const std::string more : {"--set index.storage=f32 --set index.metric=l2",
                                 "--set index.storage=bf16 --set index.metric=cosine"}) {
    testing::write_vectors<float>(folder() / "p_all", joined(base(), later()), kDim);
    for (const char* old : {"at_once", "bits"}) std::filesystem::remove_all(folder() / old);
    build("at_once", "p_all", more);
    copy("at_once", "bit_by_bit");
    std::vector<std::string> ids;
    for (std::int64_t row = kBase; row < kBase + kLater; ++row)
      ids.push_back(std::to_string(10 * row));
    write_ids("later.txt", ids);
    change(2, "bit_by_bit", deleting("later.txt"));
    compact(2, "bit_by_bit", "bits");
    const auto added = change(2, "bits", adding("p_later"));
    EXPECT_EQ(added["added"], kLater);
    EXPECT_EQ(added["segments"], 2);
    // Their ids begin behind those of the same vectors, which are gone.
    const std::int64_t first = added["first_id"], shift = first - 10 * kBase;
    EXPECT_EQ(first, 10 * (kBase + kLater) - 9);
    for (const std::string how :
         {"--set search.nprobe=3", "--set search.mode=exact", "--set search.k=200"}) {
      const Found at_once = search("at_once", how);
      Found bits = search("bits", how);
      for (std::int64_t& id : bits.ids) id -= id >= first ? shift : 0;
      EXPECT_EQ(bits.ids, at_once.ids) << more << " " << how;
      EXPECT_EQ(bits.distances, at_once.distances) << more << " " << how;
    }
  }
}

TEST_F(Update, TheSameBytesOnAnyNumberOfRanksAndInLittleMemory) {
  const std::string more = adding("s_again") +
                           " --set update.on_duplicate=replace --set \"update.delete_where=lang = "
                           "'de'\"";
  std::string manifest, neighbors;
  for (const int ranks : {1, 2, 4}) {
    copy("s_index", "ranks");
    change(ranks, "ranks", more + (ranks == 2 ? " --set memory_limit=1MiB" : ""));
    change(ranks, "ranks", adding("s_later"));
    search("ranks", "--set search.nprobe=4", ranks);
    if (ranks == 1) manifest = read_text(folder() / "ranks" / "manifest.json");
    if (ranks == 1) neighbors = file_of_neighbors();
    EXPECT_EQ(read_text(folder() / "ranks" / "manifest.json"), manifest) << ranks;
    EXPECT_TRUE(file_of_neighbors() == neighbors) << ranks;
  }
}

// Rows of descriptions by id, as changes of the test below leave them.
std::int64_t description_of(std::int64_t id, std::int64_t base, std::int64_t first_again) {
  return id < base ? id : first_again + (id - base);
}

TEST_F(Update, AVectorOfTheSameNameTakesTheOthersPlace) {
  for (const std::string kind : {"s_", "n_"}) {
    copy(kind + "index", "upsert");
    expect_refused(65, update("upsert", "mistake", adding(kind + "again")),
                   "the index has a vector called");
    const auto dry = run_tutti(
        2, update("upsert", "dry",
                  adding(kind + "again") + " --set update.on_duplicate=replace --dry-run"));
    EXPECT_NE(dry.output.find("would be 200 vectors added, 100 of them in the place"),
              std::string::npos)
        << dry.output;
    EXPECT_EQ(digest_of("upsert"), digest_of(kind + "index"));

    const auto replaced =
        change(2, "upsert", adding(kind + "again") + " --set update.on_duplicate=replace");
    EXPECT_EQ(replaced["added"], kAgain);
    EXPECT_EQ(replaced["replaced"], kBase - kFirstAgain);
    EXPECT_EQ(replaced["live"], kFirstAgain + kAgain);
    const auto live = [](std::int64_t id) { return id < kFirstAgain || id >= kBase; };
    expect_found("upsert", joined(base(), again()), live);
    expect_found(
        "upsert", joined(base(), again()),
        [&](std::int64_t id) {
          const Description d(description_of(id, kBase, kFirstAgain));
          return live(id) && d.is_known() && d.lang() == "de" && d.is_old();
        },
        "--where \"lang = 'de' and tags contains 'a'\"");

    // The same again changes the same vectors once more; to skip them changes nothing.
    EXPECT_EQ(change(3, "upsert",
                     adding(kind + "again") + " --set update.on_duplicate=replace")["replaced"],
              kAgain);
    const std::string before = read_text(folder() / "upsert" / "manifest.json");
    const auto skipped =
        change(2, "upsert", adding(kind + "again") + " --set update.on_duplicate=skip");
    EXPECT_EQ(skipped["duplicates_skipped"], kAgain);
    EXPECT_EQ(skipped["added"], 0);
    EXPECT_EQ(read_text(folder() / "upsert" / "manifest.json"), before);
  }
}

TEST_F(Update, WhatIsDeletedFirstIsNoDuplicate) {
  copy("s_index", "order");
  const auto done = change(2, "order",
                           adding("s_again") +
                               " --set 'update.delete_where=\"year > 0 or year is "
                               "null\"'");
  EXPECT_EQ(done["deleted"], kBase);
  EXPECT_EQ(done["live"], kAgain);
}

TEST_F(Update, SegmentsMayHaveOtherStrings) {
  copy("s_index", "strings");
  change(2, "strings", adding("s_later"));
  const auto row_of = [](std::int64_t id) {
    return id < kBase ? id : Description::kLaterRow + id - kBase;
  };
  for (const auto& [where, passes] :
       std::vector<std::pair<std::string, std::function<bool(const Description&)>>>{
           {"lang = 'en'", [](const Description& d) { return d.lang() == "en"; }},
           {"lang < 'b'", [](const Description& d) { return d.lang() < "b"; }},
           {"tags contains 'new'",
            [](const Description& d) { return d.is_old() && d.row >= Description::kLaterRow; }},
           {"tags contains 'old'", [](const Description& d) { return d.is_old(); }}})
    expect_found(
        "strings", joined(base(), later()),
        [&](std::int64_t id) {
          const Description d(row_of(id));
          return d.is_known() && passes(d);
        },
        "--where \"" + where + "\"");
  std::istringstream lines(read_text(folder() / "found" / "external_ids.jsonl"));
  const Found found = testing::read_neighbors(folder() / "found");
  std::size_t next = 0;
  for (std::string line; std::getline(lines, line);)
    for (const auto& name : nlohmann::json::parse(line))
      EXPECT_EQ(name, Description(row_of(found.ids[next++])).doc());
  const auto seen = run_tutti(2, "inspect " + at("strings"));
  EXPECT_EQ(seen.exit_code, 0) << seen.output;
  EXPECT_NE(seen.output.find("category of 3: 'aa', 'de', 'en'"), std::string::npos) << seen.output;
  EXPECT_NE(seen.output.find("1900 vectors in 2 segments, 0 deleted"), std::string::npos)
      << seen.output;
}

TEST_F(Update, BadVectorsAreLeftOutAndReplaceNothing) {
  std::vector<float> values = again();
  std::fill_n(values.begin(), kDim, 0.0f);  // of row kFirstAgain, which the base has
  testing::shard_described_vectors(folder(), "s_bad", values, kDim, "doc:string", kFirstAgain);
  build("angles", "s_base", "--set index.metric=cosine");
  const std::string replacing = adding("s_bad") + " --set update.on_duplicate=replace",
                    before = digest_of("angles");
  expect_refused(65, update("angles", "mistake", replacing), "row 0 of /vectors/vector");
  EXPECT_EQ(digest_of("angles"), before);
  const auto done = change(2, "angles", replacing + " --set on_bad_record=skip");
  EXPECT_EQ(done["vectors_skipped"], 1);
  EXPECT_EQ(done["added"], kAgain - 1);
  EXPECT_EQ(done["replaced"], kBase - kFirstAgain - 1);
  testing::write_text(folder() / "kept.txt", Description(kFirstAgain).doc() + "\n");
  EXPECT_EQ(change(1, "angles", deleting("kept.txt"))["deleted"], 1);
}

TEST_F(Update, TheSameRunChangesAnIndexOnce) {
  copy("p_index", "once");
  std::filesystem::remove_all(folder() / "change");
  expect_done(2, update("once", "change", adding("p_later")));
  const std::string digest = digest_of("once");
  expect_done(3, update("once", "change", adding("p_later")));
  EXPECT_EQ(digest_of("once"), digest);
  const auto result = result_of("change");
  EXPECT_EQ(result["already_done"], true);
  EXPECT_EQ(result["added"], kLater);
  EXPECT_EQ(result["live"], kBase + kLater);
  EXPECT_EQ(change(2, "once", adding("p_later"))["live"], kBase + 2 * kLater);  // another run

  // What was changed is not lost by building it again.
  const std::string changed = read_text(folder() / "once" / "manifest.json");
  for (const std::string& job :
       std::vector{"index --set vectors=" + at("p_base"), "compact --set index=" + at("p_index")})
    expect_refused(64, job + " --run " + at("once"), "was changed since it was built");
  EXPECT_EQ(read_text(folder() / "once" / "manifest.json"), changed);
}

TEST_F(Update, OneChangeAtATime) {
  copy("p_index", "busy");
  const int lock = open((folder() / "busy" / "run.lock").c_str(), O_RDWR);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  expect_refused(64, update("busy", "mistake", adding("p_later")), "another job holds");
  close(lock);
  EXPECT_EQ(digest_of("busy"), digest_of("p_index"));
  expect_refused(64, update("busy", "busy", adding("p_later")), "the run's folder is the index");
  expect_refused(64, "compact --run " + at("busy") + " --set index=" + at("busy"), "own folder");
  EXPECT_EQ(digest_of("busy"), digest_of("p_index"));
}

TEST_F(Update, AFullDiskLeavesTheIndexAsItWas) {
  copy("s_index", "full");
  const std::string more = adding("s_again") + " --set update.on_duplicate=replace";
  for (const std::string fault :
       {"pwrite:1:ENOSPC:full/shard-", "pwrite:1:ENOSPC:full/deleted-",
        "any:1:ENOSPC:full/manifest.json.tmp", "rename:1:EIO:full/mani"}) {
    const auto failed =
        testing::run_command("TUTTI_FAULT=" + fault + " LD_PRELOAD=" TUTTI_FAULT_IO " " +
                             testing::tutti_command(2, update("full", "r", more)));
    EXPECT_EQ(failed.exit_code, 74) << fault << "\n" << failed.output;
    EXPECT_EQ(read_text(folder() / "full" / "manifest.json"),
              read_text(folder() / "s_index" / "manifest.json"))
        << fault;
  }
  expect_done(2, update("full", "r", more));
  EXPECT_EQ(result_of("r")["replaced"], kBase - kFirstAgain);
}

TEST_F(Update, WhatAStoppedStartKeptDoesNotHideWhatAnotherChangeDid) {
  copy("s_index", "overtaken");
  const std::string mine =
      update("overtaken", "overtaken_run", adding("s_again") + " --set update.on_duplicate=skip");
  const auto stopped = run_tutti(2, mine + " --max-time 0.001s");
  EXPECT_EQ(stopped.exit_code, 75) << stopped.output;
  std::vector<std::string> duplicates;
  for (std::int64_t row = kFirstAgain; row < kBase; ++row)
    duplicates.push_back(Description{row}.doc());
  write_ids("duplicates.txt", duplicates);
  change(2, "overtaken", "--set update.delete=" + at("duplicates.txt"));
  expect_done(3, mine);
  EXPECT_EQ(result_of("overtaken_run")["added"], kAgain);
  EXPECT_EQ(open_index(folder() / "overtaken").vectors, kFirstAgain + kAgain);
}

TEST_F(Update, SearchesSeeTheIndexBeforeOrAfter) {
  copy("s_index", "seen");
  const auto search_of = [](const std::string& run) {
    return "search --run " + at(run) + " --set index=" + at("seen") +
           " --set query.file=" + at("queries.fvecs");
  };
  for (int round = 0; round < 6; ++round) {
    expect_done(1, search_of("before"));
    std::filesystem::remove_all(folder() / "change");
    testing::Process job(
        testing::tutti_command(2, update("seen", "change",
                                         adding(round % 2 ? "s_base" : "s_again") +
                                             " --set update.on_duplicate=replace")),
        at("seen.log"));
    usleep(useconds_t(60000 * round));
    expect_done(2, search_of("between"));
    EXPECT_EQ(job.wait(), 0) << read_text(folder() / "seen.log");
    expect_done(1, search_of("after"));
    const std::string seen = digest_of("between");
    EXPECT_NE(digest_of("before"), digest_of("after"));
    EXPECT_TRUE(seen == digest_of("before") || seen == digest_of("after")) << round;
  }
}

TEST_F(Update, MistakesEndWithTheirCodeAndChangeNothing) {
  testing::write_vectors<float>(folder() / "narrow", again(), kDim / 2);
  testing::write_vectors<float>(folder() / "angular", again(), kDim, {{"metric", "cosine"}});
  write_ids("strings.txt", {"7", "seven"});
  write_ids("unknown.txt", {"10", "11"});
  bool dry = false;  // by turns
  const auto refused = [&](int code, const std::string& index, const std::string& more,
                           const std::string& text) {
    expect_refused(code, update(index, "mistake", more + (dry ? " --dry-run" : "")), text);
    dry = !dry;
  };
  refused(65, "p_index", adding("narrow"), "12 dimensions");
  refused(65, "p_index", adding("angular"), "update.metric = \"l2\"");
  refused(64, "p_index", adding("angular") + " --set update.metric=cosine", "update.metric");
  refused(65, "p_index", adding("s_later"), "year is there besides");
  refused(65, "s_index", adding("p_later"), "year is missing");
  refused(65, "s_index", adding("n_later"), "the vectors have integers to be called by");
  refused(65, "p_index", deleting("strings.txt"), "strings.txt, line 2");
  refused(65, "n_index", deleting("strings.txt"), "external ids are integers");
  refused(65, "p_index", deleting("unknown.txt"), "unknown.txt, line 2");
  refused(65, "p_index", "--set 'update.delete_where=\"year = 2000\"'", "no metadata");
  refused(65, "s_index", "--set 'update.delete_where=\"yaer = 2000\"'", "the nearest is 'year'");
  refused(64, "p_index", deleting("nowhere.txt"), "no such file");
  refused(64, "p_index", "", "nothing is to be changed");
  refused(64, "nowhere", adding("p_later"), "no such folder");
  refused(65, "p_base", adding("p_later"), "not 'index'");
  EXPECT_FALSE(std::filesystem::exists(folder() / "nowhere"));
  for (const char* index : {"p_index", "s_index", "n_index"})
    EXPECT_EQ(run_tutti(1, "inspect " + at(index)).exit_code, 0);
  const auto taken =
      change(2, "p_index", adding("angular") + " --set update.metric=l2");  // said to be so
  EXPECT_EQ(taken["added"], kAgain);
}

TEST_F(Update, ADamagedFileOfWhatIsDeletedIsNamed) {
  copy("s_index", "damaged");
  change(1, "damaged", "--set 'update.delete_where=\"year = 2006\"'");
  const std::filesystem::path file = folder() / "damaged" / "deleted-00001.h5";
  std::string bytes = read_text(file);
  bytes[bytes.size() - 5] ^= 1;
  testing::write_text(file, bytes);
  const auto done = run_tutti(2, "search --run " + at("mistake") + " --set index=" + at("damaged") +
                                     " --set query.file=" + at("queries.fvecs"));
  EXPECT_EQ(done.exit_code, 65) << done.output;
  EXPECT_NE(done.output.find("deleted-00001.h5"), std::string::npos) << done.output;
}

}  // namespace
}  // namespace tutti
