#include "runtime/checkpoint/checkpoint_options.h"

#include "runtime/base/error.h"

namespace tutti {

void CheckpointOptions::describe(Schema& s) {
  s.duration_or_auto("checkpoint.every", &every_seconds,
                     "time between checkpoints; auto: sqrt(2 * cost * MTBF), the cost as measured");
  s.duration("checkpoint.mtbf", &mtbf_seconds,
             "mean time between failures of this job, for checkpoint.every = \"auto\"; 0: learned "
             "from the run's own events");
  s.key("checkpoint.keep", &retention.keep, "generations", "newest checkpoints to keep");
  s.key("checkpoint.keep_every", &retention.keep_every, "generations",
        "keeps besides those whose number is a multiple of this; 0: none");
  s.duration("checkpoint.keep_for", &retention.keep_seconds,
             "keeps besides those that are no older than this");
  s.key(
      "checkpoint.local", &local,
      "node-local folder that takes every checkpoint, such as \"/local/{host}\", {host} being the "
      "node's name; the run's folder then takes one every checkpoint.shared_every. Empty: every "
      "checkpoint goes to the run's folder");
  s.duration("checkpoint.shared_every", &shared_every_seconds,
             "with checkpoint.local: time between checkpoints in the run's folder");
  s.key("checkpoint.partner", &partner,
        "with checkpoint.local: keep a copy of a node's checkpoint in the next node's folder");
  s.key("checkpoint.verify", &verify, "read a checkpoint back before it counts");
  s.key("checkpoint.give_up_after", &give_up_after, "checkpoints",
        "stop with code 74 when so many in a row could not be written; until then the run goes on "
        "from the last good one");
}

void CheckpointOptions::check() const {
  const auto wrong = [](const std::string& what, const char* key, const char* fix) {
    throw Error(ExitCode::usage, what, key, fix);
  };
  if (retention.keep < 1) wrong("at least one checkpoint must be kept", "checkpoint.keep", "");
  if (retention.keep_every < 0)
    wrong("a count is negative", "checkpoint.keep_every", "give 0 to keep no such ones");
  if (give_up_after < 1)
    wrong("expected 1 or more", "checkpoint.give_up_after", "1 stops at the first failure");
}

}  // namespace tutti
