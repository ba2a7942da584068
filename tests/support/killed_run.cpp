#include "tests/support/killed_run.h"

#include <vector>

#include "tests/support/command.h"
#include "tests/support/kill_moment.h"
#include "tests/support/process.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {

KilledRun run_with_kills(const std::string& arguments, const std::filesystem::path& run_folder,
                         std::initializer_list<int> ranks, int kills) {
  const std::vector<int> counts(ranks);
  const std::filesystem::path events = run_folder / "events.jsonl";
  const std::string log = run_folder.string() + ".log";
  KilledRun result;
  for (int start = 0; result.kills < kills && start < 10 * kills; ++start) {
    const StartWatch watch(run_folder, {run_folder / "checkpoints"});
    Process job(tutti_command(counts[std::size_t(start) % counts.size()], arguments), log);
    constexpr Moment kByTurns[] = {Moment::any_time, Moment::committed, Moment::events};
    watch.wait_for(kByTurns[start % 3], job, std::uint64_t(start), 600);
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
