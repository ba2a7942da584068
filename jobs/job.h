// What every sub-command is: a table of configuration keys and a collective run.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "runtime/base/config.h"
#include "runtime/base/error.h"
#include "runtime/comm/comm.h"
#include "runtime/telemetry/events.h"
#include "runtime/telemetry/phases.h"

namespace tutti {

class DeviceSession;

// What main hands to a job. The same on every rank but for what Comm tells apart.
struct JobContext {
  Comm& comm;
  std::filesystem::path run_folder;  // where the artefact and the run's records go; exists
  EventLog& events;                  // writes events.jsonl on the root, nothing elsewhere
  PhaseTimer& phases;                // where the time went; main prints the table at the end
  bool dry_run = false;              // check and explain, write nothing
  bool json = false;                 // the result on standard output as JSON
  DeviceSession* device = nullptr;   // this rank's GPU, where the job runs on one
  nlohmann::json result;             // the root's figures for result.json, units in the names
};

// A job binds its keys, then runs. run() is collective; it returns `done` or `stopped` and throws
// otherwise.
class Job {
 public:
  virtual ~Job() = default;
  virtual void describe(Schema& schema) = 0;
  virtual ExitCode run(JobContext& context) = 0;
  // Whether it runs on GPUs, too: with context.device then.
  virtual bool runs_on_device() const { return false; }
};

// The command table's row.
struct JobEntry {
  const char* name;
  const char* summary;
  std::unique_ptr<Job> (*make)();
  // Where the job takes texts from the command line: the key that they go to, and what they are.
  const char* text_key = nullptr;
  const char* text_meaning = nullptr;
  // Where the job has a flag of its own: its name, the key that it sets to true, and what it means.
  const char* flag = nullptr;
  const char* flag_key = nullptr;
  const char* flag_meaning = nullptr;
  // Where it takes a filter from there: the key that it goes to.
  const char* where_key = nullptr;
};

std::unique_ptr<Job> make_shard_job();
std::unique_ptr<Job> make_train_job();
std::unique_ptr<Job> make_embed_job();
std::unique_ptr<Job> make_index_job();
std::unique_ptr<Job> make_update_job();
std::unique_ptr<Job> make_compact_job();
std::unique_ptr<Job> make_search_job();
std::unique_ptr<Job> make_duplicates_job();
std::unique_ptr<Job> make_evaluate_job();
std::unique_ptr<Job> make_generate_job();
std::unique_ptr<Job> make_import_job();
std::unique_ptr<Job> make_export_job();

}  // namespace tutti
