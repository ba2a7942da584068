#include "tests/support/killed_run.h"

#include <vector>

#include <unistd.h>

#include "kernels/core/random.h"
#include "tests/support/command.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {
namespace {

int count(const std::string& text, const std::string& word) {
  int found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
    ++found;
  return found;
}

// A number below `limit` that depends on the start and on what it is for.
unsigned drawn(int start, std::uint64_t purpose, unsigned limit) {
  return unsigned(random_u64(99, purpose, std::uint64_t(start)) % limit);
}

// Returns when the moment has come, or the job has ended by itself.
void wait_for_the_moment(Process& job, int start, const std::filesystem::path& events) {
  const std::string before = read_text(events);
  const auto come = [&](const char* word, int times) {
    while (!job.ended() && count(read_text(events), word) < count(before, word) + times)
      usleep(1000);
  };
  switch (start % 3) {
    case 0:
      usleep(drawn(start, 0, 500000));
      break;
    case 1:
      come("\"checkpoint\"", 1);
      break;
    default:
      come("\n", 2 + int(drawn(start, 1, 20)));
  }
  usleep(drawn(start, 2, 20000));
}

}  // namespace

KilledRun run_with_kills(const std::string& arguments, const std::filesystem::path& run_folder,
                         std::initializer_list<int> ranks, int kills) {
  const std::vector<int> counts(ranks);
  const std::filesystem::path events = run_folder / "events.jsonl";
  const std::string log = run_folder.string() + ".log";
  KilledRun result;
  for (int start = 0; result.kills < kills && start < 10 * kills; ++start) {
    Process job(tutti_command(counts[std::size_t(start) % counts.size()], arguments), log);
    wait_for_the_moment(job, start, events);
    if (job.ended()) {
      result.restores += count(read_text(events), "\"restore\"");
      std::filesystem::remove_all(run_folder);
      continue;
    }
    job.kill_all();
    ++result.kills;
  }
  Process last(tutti_command(counts.front(), arguments), log);
  result.exit_code = last.wait();
  result.restores += count(read_text(events), "\"restore\"");
  result.output = read_text(log);
  return result;
}

}  // namespace tutti::testing
