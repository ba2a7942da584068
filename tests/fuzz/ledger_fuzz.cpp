// A run's events.jsonl: whatever it holds, no part of its time is negative, and the parts sum to
// the whole.
#include <cmath>
#include <sstream>

#include "runtime/telemetry/ledger.h"
#include "tests/fuzz/support.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tutti;
  std::istringstream lines{std::string(fuzz::text_of(data, size))};
  const Ledger ledger = ledger_of(read_run_record(lines).events);
  double sum = 0;
  for (const TimeUse use : kTimeUses) {
    CHECK(ledger.of(use) >= 0);
    sum += ledger.of(use);
  }
  CHECK(std::abs(sum - ledger.whole_seconds) <= 1e-9 * ledger.whole_seconds);
  CHECK(ledger.run_seconds <= ledger.whole_seconds && ledger.goodput() <= 1 + 1e-9);
  CHECK(ledger.lost_steps >= 0 && ledger.kept_position >= 0);
  CHECK(ledger.done + ledger.stopped + ledger.failed + ledger.refused + ledger.killed +
            ledger.open ==
        ledger.starts);
  return 0;
}
