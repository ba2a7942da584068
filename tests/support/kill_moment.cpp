#include "tests/support/kill_moment.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <unistd.h>

#include "kernels/core/random.h"
#include "tests/support/scratch_folder.h"

namespace tutti::testing {
namespace {

// Whether a generation, committed or not, is in this folder, or in a node's folder of a run in it.
// The job makes and removes folders meanwhile.
bool holds(const std::filesystem::path& folder, bool committed) {
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(folder, ignored), end; entry != end;
       entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    if (name.starts_with("tutti-") && holds(entry->path(), committed)) return true;
    if (name.starts_with("generation-") && !name.ends_with(".damaged") &&
        std::filesystem::exists(entry->path() / "manifest.json", ignored) == committed)
      return true;
  }
  return false;
}

}  // namespace

int count(const std::string& text, const std::string& word) {
  int found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1))
    ++found;
  return found;
}

StartWatch::StartWatch(const std::filesystem::path& run_folder,
                       std::vector<std::filesystem::path> checkpoints, std::string last_step)
    : events_(run_folder / "events.jsonl"),
      checkpoints_(std::move(checkpoints)),
      last_step_(std::move(last_step)),
      before_(read_text(events_).size()),
      had_checkpoint_(has_generation(true)) {}

std::string StartWatch::events() const {
  const std::string all = read_text(events_);
  return all.substr(std::min(before_, all.size()));
}

bool StartWatch::has_generation(bool committed) const {
  return std::ranges::any_of(checkpoints_,
                             [&](const auto& folder) { return holds(folder, committed); });
}

bool StartWatch::writes_checkpoint() const { return has_generation(false); }

void StartWatch::wait_for(Moment moment, Process& job, std::uint64_t draw, double seconds) const {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const auto drawn = [&](std::uint64_t purpose, unsigned below) {
    return unsigned(random_u64(draw, purpose, 0) % below);
  };
  const auto come = [&](const auto& here) {
    while (!job.ended() && !here() && std::chrono::steady_clock::now() < limit) usleep(500);
  };
  const auto told = [&](const char* word, int times) {
    come([&] { return count(events(), word) >= times; });
  };
  switch (moment) {
    case Moment::any_time:
      usleep(drawn(0, 500000));
      break;
    case Moment::committed:
      told("\"checkpoint\"", 1);
      break;
    case Moment::events:
      told("\n", 2 + int(drawn(1, 20)));
      break;
    case Moment::checkpoint:
      told("\"ready\"", 1);  // what a killed start has left is gone by then
      come([&] { return writes_checkpoint(); });
      break;
    case Moment::restore:
      told("\"start\"", 1);
      usleep(drawn(2, 5000));  // it takes no longer where the state is small
      return;
    case Moment::ending:
      come([&] { return is_ending(); });
      usleep(drawn(3, 150000));
  }
  usleep(drawn(2, 20000));
}

}  // namespace tutti::testing
