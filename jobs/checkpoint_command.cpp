#include "jobs/checkpoint_command.h"

#include <cstdint>

namespace tutti {
namespace {

using Action = CheckpointRequest::Action;

// What `tutti checkpoint` can do.
struct ActionEntry {
  const char* name;
  const char* summary;
  CheckpointRequest::Action action;
  const char* numbers;  // what follows the run's folder; null: nothing
  const char* meaning;  // of that
  int fewest, most;     // of them
};

constexpr ActionEntry kActions[] = {
    {"ls", "list the checkpoints, newest first; no data is read", Action::list, nullptr, nullptr, 0,
     0},
    {"verify", "read every block of one checkpoint or of all; code 65 where any is damaged",
     Action::verify, "GENERATION", "its number; all where none is given", 0, 1},
    {"pin", "keep a checkpoint until it is unpinned", Action::pin, "GENERATION", "its number", 1,
     1},
    {"unpin", "let retention have a checkpoint again", Action::unpin, "GENERATION", "its number", 1,
     1},
    {"rm", "remove one: not a pinned one, not the last that verifies, not beside a job",
     Action::remove, "GENERATION", "its number; or --damaged", 0, 1},
    {"convert", "make a model's folder of a checkpoint, the newest where none is named",
     Action::convert, "OUT",
     "the model's folder to be; in front of it a checkpoint's number, or the newest that verifies "
     "is "
     "taken",
     1, 2},
};

// Throws CLI::ValidationError where the operands do not fit the action.
void take_operands(const ActionEntry& entry, CheckpointCommand& command) {
  CheckpointRequest& request = command.request;
  request.action = entry.action;
  std::vector<std::string> left = command.operands;
  if (entry.action == Action::convert) {
    request.out = left.back();
    left.pop_back();
  }
  if (entry.action == Action::remove && left.empty() != request.damaged)
    throw CLI::ValidationError("rm", "give either GENERATION or --damaged");
  if (!left.empty()) {
    std::int64_t number = 0;
    if (!CLI::detail::lexical_cast(left.front(), number) || number < 0)
      throw CLI::ValidationError("GENERATION", "no number: " + left.front());
    request.generation = number;
  }
  command.given = true;
}

void add_action(CLI::App& tool, const ActionEntry& entry, CheckpointCommand& command) {
  CheckpointRequest& request = command.request;
  CLI::App* sub = tool.add_subcommand(entry.name, entry.summary);
  sub->add_option("RUN", request.run, "the run's folder")->required()->type_name("");
  if (entry.numbers)
    sub->add_option(entry.numbers, command.operands, entry.meaning)
        ->type_name("")
        ->expected(entry.fewest, entry.most)
        ->required(entry.fewest > 0);
  sub->add_option("--local", request.local,
                  "the run's checkpoint.local: looks into the nodes' folders, too; start it on the "
                  "run's nodes. Without it, only the run's own folder is looked at")
      ->type_name("DIR");
  if (entry.action == Action::list) sub->add_flag("--json", request.json, "print as JSON");
  if (entry.action == Action::remove)
    sub->add_flag("--damaged", request.damaged, "remove all that were set aside");
  if (entry.action == Action::convert) {
    sub->footer("tutti checkpoint convert RUN OUT, or RUN GENERATION OUT");
    CLI::Option* file = sub->add_option("--tokenizer", request.tokenizer,
                                        "the tokenizer, where the training's dataset has moved");
    sub->add_option("--dataset", request.dataset, "the training's dataset, where it has moved")
        ->type_name("DIR")
        ->excludes(file->type_name("FILE"));
  }
  sub->callback([&command, &entry] { take_operands(entry, command); });
}

}  // namespace

void add_checkpoint_command(CLI::App& app, CheckpointCommand& command) {
  CLI::App* tool =
      app.add_subcommand("checkpoint", "list, verify, keep, remove or convert a run's checkpoints");
  tool->require_subcommand(1);
  for (const ActionEntry& entry : kActions) add_action(*tool, entry, command);
}

}  // namespace tutti
