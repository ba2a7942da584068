// The compact job as a user starts it: one segment in which the same is found; and changes that
// die, wherever it is.
#include "jobs/index_folder.h"
#include "tests/jobs/changed_index.h"

namespace tutti {
namespace {

using testing::read_text;
using testing::run_command;
using testing::run_tutti;
using testing::tutti_command;

class Compact : public testing::ChangedIndex {
 protected:
  static void SetUpTestSuite() {
    make("compact_test");
    for (const std::string kind : {"s_", "n_"}) {
      const std::string index = kind + "changed";
      copy(kind + "index", index);
      change(2, index, adding(kind + "later"));
      change(2, index, adding(kind + "again") + " --set update.on_duplicate=replace");
      change(2, index, "--set \"update.delete_where=lang = 'de' and year < 2010\"");
    }
  }
  static void TearDownTestSuite() { remove(); }

  // Everything that a search may ask of an index.
  static std::vector<std::string> answers_of(const std::string& index) {
    std::vector<std::string> answers;
    for (const std::string how :
         {"--set search.nprobe=3", "--set search.mode=exact", "--set search.k=100",
          "--where \"lang < 'b' or tags contains 'new'\"",
          "--where \"lang = 'de'\" --set search.where_plan=lists --set search.nprobe=2"}) {
      search(index, how);
      answers.push_back(file_of_neighbors());
    }
    return answers;
  }

  // Kills a command, which works on `path`, at every one of its file operations there, and starts
  // it again; `settled` looks at what is left, and `again` sets up the next one.
  static void kill_everywhere(const std::string& command, const std::string& path, int step,
                              const std::function<void(bool killed)>& settled,
                              const std::function<void()>& again) {
    int kills = 0;
    for (int operation = 1;; operation += step) {
      again();
      const auto done = run_command("TUTTI_FAULT=any:" + std::to_string(operation) +
                                    ":KILL:" + path + " LD_PRELOAD=" TUTTI_FAULT_IO " " +
                                    tutti_command(operation % 2 + 1, command));
      if (done.exit_code == 0) break;
      ++kills;
      settled(true);
      expect_done(operation % 3 + 1, command);
      settled(false);
    }
    EXPECT_GT(kills, 5);
  }
};

TEST_F(Compact, FindsTheSame) {
  for (const std::string kind : {"s_", "n_"}) {
    const std::string index = kind + "changed", anew = kind + "compacted";
    const auto compacted = compact(2, index, anew);
    const IndexFolder before = open_index(folder() / index), after = open_index(folder() / anew);
    EXPECT_EQ(before.segments.size(), 3u);
    EXPECT_GT(before.deleted(), 100);
    EXPECT_EQ(after.segments.size(), 1u);
    EXPECT_EQ(after.deleted(), 0);
    EXPECT_EQ(after.vectors, before.vectors);
    EXPECT_EQ(compacted["vectors"], before.vectors);
    EXPECT_EQ(compacted["dropped"], before.deleted());
    EXPECT_TRUE(answers_of(anew) == answers_of(index)) << kind;
    EXPECT_EQ(run_tutti(2, "inspect " + at(anew)).exit_code, 0);

    // It can be changed further, and ids go on.
    const auto more =
        change(2, anew, adding(kind + "again") + " --set update.on_duplicate=replace");
    EXPECT_EQ(more["first_id"], kBase + kLater + kAgain);
  }
}

TEST_F(Compact, AnExportedIndexIsTheCompactedOne) {
  compact(1, "s_changed", "flat");
  for (const std::string index : {"s_changed", "flat"})
    expect_done(1, "export --run " + at(index + "_faiss") + " --set export.from=" + at(index));
  const std::string changed = read_text(folder() / "s_changed_faiss" / "index.faiss");
  EXPECT_GT(changed.size(), 1000u);
  EXPECT_TRUE(changed == read_text(folder() / "flat_faiss" / "index.faiss"));
}

TEST_F(Compact, TheSameBytesOnAnyNumberOfRanksAndInLittleMemory) {
  compact(1, "s_changed", "one");
  for (const int ranks : {2, 4}) {
    const std::string run = "ranks" + std::to_string(ranks);
    expect_done(ranks, "compact --run " + at(run) + " --set index=" + at("s_changed") +
                           (ranks == 2 ? " --set memory_limit=1MiB" : ""));
    EXPECT_EQ(read_text(folder() / run / "manifest.json"),
              read_text(folder() / "one" / "manifest.json"));
  }
}

TEST_F(Compact, AnIndexThatNobodyChangedStaysTheSame) {
  compact(3, "s_index", "unchanged");
  EXPECT_EQ(digest_of("unchanged"), digest_of("s_index"));
}

TEST_F(Compact, MistakesEndWithTheirCode) {
  expect_refused(64, "compact --run " + at("mistake") + " --set index=" + at("nowhere"),
                 "no such folder");
  expect_refused(65, "compact --run " + at("mistake") + " --set index=" + at("s_base"),
                 "not 'index'");
  copy("s_changed", "damaged");
  std::string bytes = read_text(folder() / "damaged" / "shard-00004.h5");
  for (std::size_t i = 4096; i < bytes.size(); i += 512) bytes[i] ^= 1;
  testing::write_text(folder() / "damaged" / "shard-00004.h5", bytes);
  expect_refused(65, "compact --run " + at("mistake") + " --set index=" + at("damaged"),
                 "shard-00004.h5");
  EXPECT_FALSE(std::filesystem::exists(folder() / "mistake" / "manifest.json"));
}

TEST_F(Compact, StoppedInTimeBothGoOn) {
  copy("s_changed", "stopped");
  const std::string update_of = update("stopped", "stopped_run", adding("s_later")) +
                                " --set update.on_duplicate=replace",
                    compact_of =
                        "compact --run " + at("stopped_new") + " --set index=" + at("stopped");
  for (const std::string& command : {update_of, compact_of}) {
    const auto stopped = run_tutti(2, command + " --max-time 0.001s");
    EXPECT_EQ(stopped.exit_code, 75) << stopped.output;
    EXPECT_FALSE(std::filesystem::exists(folder() / "stopped_new" / "manifest.json"));
    if (command == update_of) {
      EXPECT_EQ(digest_of("stopped"), digest_of("s_changed"));
    }
    expect_done(3, command);
  }
  EXPECT_EQ(result_of("stopped_run")["replaced"], kLater);
  EXPECT_EQ(open_index(folder() / "stopped_new").vectors, open_index(folder() / "stopped").vectors);
}

TEST_F(Compact, KilledAnywhereItGoesOnToTheSameBytes) {
  compact(1, "s_changed", "whole");
  kill_everywhere(
      "compact --run " + at("killed") + " --set index=" + at("s_changed"), at("killed"), 17,
      [&](bool killed) {
        if (killed && !std::filesystem::exists(folder() / "killed" / "manifest.json")) return;
        EXPECT_EQ(digest_of("killed"), digest_of("whole"));
      },
      [&] { std::filesystem::remove_all(folder() / "killed"); });
}

TEST_F(Compact, AKilledUpdateIsMadeOnceOrNotAtAll) {
  const std::string update_of = adding("s_again") +
                                " --set update.on_duplicate=replace "
                                "--set \"update.delete_where=lang = 'aa'\"";
  copy("s_changed", "updated");
  change(2, "updated", update_of);
  const std::string before = read_text(folder() / "s_changed" / "manifest.json"),
                    after = read_text(folder() / "updated" / "manifest.json");
  int whole = 0;  // died behind the moment at which it counts
  kill_everywhere(
      update("half", "half_run", update_of), at("half"), 5,
      [&](bool killed) {
        const std::string now = read_text(folder() / "half" / "manifest.json");
        whole += killed && now == after;
        EXPECT_TRUE(now == after || (killed && now == before));
        EXPECT_NO_THROW(open_index(folder() / "half"));
        if (killed) return;
        std::size_t files = 0, ours = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder() / "half"))
          files += is_shard_file(entry.path().filename().string()) ||
                   is_change_file(entry.path().filename().string());
        const IndexFolder index = open_index(folder() / "half");
        for (const FileRecord& file : index.dataset.manifest().files)
          ours += is_shard_file(file.name) || is_change_file(file.name);
        EXPECT_EQ(files, ours) << "something is left";
      },
      [&] {
        copy("s_changed", "half");
        std::filesystem::remove_all(folder() / "half_run");
      });
  EXPECT_GT(whole, 0);
}

}  // namespace
}  // namespace tutti
