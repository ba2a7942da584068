// The command line, the command table, and the one place where errors end.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>

#include <CLI/CLI.hpp>

#include "jobs/checkpoint_command.h"
#include "jobs/goodput.h"
#include "jobs/inspect.h"
#include "jobs/job.h"
#include "jobs/version.h"
#include "runtime/base/check.h"
#include "runtime/base/log.h"
#include "runtime/base/stop.h"
#include "runtime/data/paths.h"
#include "runtime/data/run_folder.h"
#include "runtime/device/device_choice.h"
#include "runtime/device/device_library.h"
#include "runtime/io/file.h"
#include "runtime/telemetry/memory.h"
#include "runtime/topology/hardware.h"

namespace tutti {
namespace {

constexpr JobEntry kJobs[] = {
    {"shard", "cut documents or vectors into a dataset of HDF5 shards", make_shard_job},
    {"train", "train a text encoder or a language model on a dataset", make_train_job},
    {"embed", "embed a dataset's passages with a model", make_embed_job},
    {"index", "build a vector index over all ranks", make_index_job},
    {"update", "add vectors to an index, replace and delete others, in place", make_update_job},
    {"compact", "write an index anew that has been updated, as one segment", make_compact_job},
    {"search", "find the nearest neighbours of many queries at once", make_search_job, "query.text",
     "a question; prints the best passages", "--evaluate", "search.evaluate",
     "measure recall and speed at several nprobe", "search.where"},
    {"duplicates", "find the near-duplicate vectors of an index", make_duplicates_job},
    {"import", "take over a model of Hugging Face's transformers", make_import_job},
    {"export", "write a model as transformers reads it, or vectors as others do", make_export_job},
    {"evaluate", "measure how well a model finds held-out documents, and judges similarity",
     make_evaluate_job},
    {"generate", "complete many prompts at once with a language model", make_generate_job,
     "prompt.text", "a prompt; prints its completion"},
};

// A sub-command that is no job: it looks at a folder, takes no configuration and leaves no run.
struct ToolEntry {
  const char* name;
  const char* summary;
  const char* path_meaning;
  ExitCode (*run)(Comm& comm, const std::filesystem::path& path, bool json);  // collective
};

constexpr ToolEntry kTools[] = {
    {"inspect", "say what an artefact is and verify every checksum",
     "a dataset, vectors, index, model or run folder", inspect_artefact},
    {"goodput", "say where a run's time went, over all its starts", "a run's folder",
     print_goodput},
};

struct CommandLine {
  const JobEntry* job = nullptr;    // either this
  const ToolEntry* tool = nullptr;  // or that
  CheckpointCommand checkpoint;     // or this
  std::string config_file, run_folder, tool_path, max_time;
  std::optional<std::string> where;
  std::vector<std::string> settings, texts;
  bool dry_run = false, json = false, flag = false;
};

// Within about this time a job's death is known.
constexpr std::chrono::seconds kHeartbeat{10};

// Keys that every job has.
struct CommonConfig {
  double comm_timeout = 600;
  std::int64_t threads = 0;
  std::string device = "cpu";

  void describe(Schema& schema) {
    schema.choice("device", &device, {"cpu", "cuda"}, "where the mathematics runs");
    schema.key("threads", &threads, "threads",
               "threads of a rank; 0: the cores it is bound to, shared fairly");
    schema.duration("comm.timeout", &comm_timeout,
                    "a collective that waits longer is a hang (exit code 76); 0: never");
  }
};

void add_job(CLI::App& app, const JobEntry& entry, CommandLine& line) {
  CLI::App* sub = app.add_subcommand(entry.name, entry.summary);
  sub->add_option("config", line.config_file, "configuration file (TOML)")
      ->type_name("CONFIG.toml");
  sub->add_option("--set", line.settings, "set a configuration key; wins over file and environment")
      ->type_name("a.b=value")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  sub->add_option("--run", line.run_folder,
                  "the run's folder (default: the configuration file's name without .toml)")
      ->type_name("DIR");
  sub->add_option("--max-time", line.max_time,
                  "stop with a checkpoint and exit code 75 after this time")
      ->type_name("H:MM:SS");
  sub->add_flag("--dry-run", line.dry_run, "check everything, write nothing");
  sub->add_flag("--json", line.json, "print the result as JSON");
  if (entry.text_key)
    sub->add_option("--text", line.texts, entry.text_meaning)
        ->type_name("TEXT")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  if (entry.flag) sub->add_flag(entry.flag, line.flag, entry.flag_meaning);
  if (entry.where_key)
    sub->add_option("--where", line.where, "only what passes a filter over the metadata")
        ->type_name("FILTER");
  sub->callback([&line, &entry] { line.job = &entry; });

  const std::unique_ptr<Job> job = entry.make();
  Schema schema;
  CommonConfig().describe(schema);
  job->describe(schema);
  sub->footer("Configuration keys [default; unit]:\n" + schema.help());
}

void add_tool(CLI::App& app, const ToolEntry& entry, CommandLine& line) {
  CLI::App* sub = app.add_subcommand(entry.name, entry.summary);
  sub->add_option("path", line.tool_path, entry.path_meaning)->required();
  sub->add_flag("--json", line.json, "print as JSON");
  sub->callback([&line, &entry] { line.tool = &entry; });
}

// Fills `line`, or returns the exit code of a command line that is already answered.
std::optional<int> parse(int argc, char** argv, CommandLine& line) {
  CLI::App app{"Tutti: batch jobs for AI on clusters. Start with mpirun or srun --mpi=pmix."};
  app.set_version_flag("--version", version_text);
  app.require_subcommand(1);
  for (const JobEntry& entry : kJobs) add_job(app, entry, line);
  for (const ToolEntry& entry : kTools) add_tool(app, entry, line);
  add_checkpoint_command(app, line.checkpoint);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : int(ExitCode::usage);
  }
  return std::nullopt;
}

std::filesystem::path run_folder_of(const CommandLine& line) {
  if (!line.run_folder.empty()) return line.run_folder;
  if (line.config_file.empty())
    throw Error(ExitCode::usage, "no run folder", "command line",
                "give a configuration file or --run DIR");
  return std::filesystem::path(line.config_file).replace_extension();
}

void configure(Schema& schema, const CommandLine& line) {
  if (!line.config_file.empty()) schema.load_file(line.config_file);
  schema.load_environment();
  for (const std::string& setting : line.settings) schema.set(setting);
  if (!line.texts.empty())
    schema.set(std::string(line.job->text_key) + "=" + nlohmann::json(line.texts).dump());
  if (line.flag) schema.set(std::string(line.job->flag_key) + "=true");
  if (line.where)
    schema.set(std::string(line.job->where_key) + "=" + nlohmann::json(*line.where).dump());
  schema.check_required();
}

// The time this job may take: --max-time, or the allocation's own end less a minute, whichever
// comes first.
double time_limit(const CommandLine& line) {
  double limit = line.max_time.empty() ? 0 : parse_duration(line.max_time, "--max-time");
  if (const char* end = std::getenv("SLURM_JOB_END_TIME")) {
    const double left = std::atof(end) - double(std::time(nullptr)) - 60;
    if (left > 0 && (limit == 0 || left < limit)) limit = left;
  }
  return limit;
}

// What a `start` tells of this process. Where a batch script knows when it was submitted, it says
// so in TUTTI_SUBMITTED, in seconds since 1970.
nlohmann::json start_event(const Comm& comm, const JobEntry& job, int threads) {
  nlohmann::json event = {
      {"job", job.name}, {"ranks", comm.size()}, {"threads", threads}, {"version", kVersion}};
  const char* submitted = std::getenv("TUTTI_SUBMITTED");
  if (const double time = submitted ? std::atof(submitted) : 0; time > 0) event["submitted"] = time;
  return event;
}

void report_hardware(Comm& comm, const Hardware& hardware, int threads) {
  log_info("{} on {} rank{} x {} thread{}: {} ({}), {} of {} cores, {:.0f} GiB", "tutti",
           comm.size(), comm.size() == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
           hardware.processor, hardware.vector_units, hardware.cores, hardware.machine_cores,
           hardware.memory_gib);
}

// This rank's GPU, where the job is to run on one.
std::unique_ptr<DeviceSession> open_device_for(Comm& comm, const Job& job,
                                               const std::string& device) {
  if (device == "cpu") return nullptr;
  if (!job.runs_on_device())
    throw Error(ExitCode::unavailable, "device = \"cuda\", but this job runs on CPUs alone",
                "device", "use device = \"cpu\"")
        .as_agreed();
  return open_device(comm);
}

// Shares the node's cores out fairly where the launcher bound several ranks to the same ones.
int choose_threads(Comm& comm, const Hardware& hardware, std::int64_t configured) {
  const std::string mine = comm.host() + " " + hardware.binding;
  int sharing = 0;
  for (const std::string& theirs : comm.all_gather_strings(mine)) sharing += theirs == mine;
  return configured > 0 ? int(configured) : threads_for(hardware.cores, sharing);
}

// Takes the configuration and puts into effect what every job has. Returns the run's folder.
std::filesystem::path prepare(Comm& comm, const CommandLine& line, const CommonConfig& common,
                              Schema& schema) {
  std::filesystem::path folder;
  comm.attempt([&] {
    configure(schema, line);
    folder = run_folder_of(line);
    set_time_limit(time_limit(line));
  });
  comm.watch(common.comm_timeout);
  return folder;
}

// `record_folder` becomes the run's folder once this job holds it.
ExitCode run_job(Comm& comm, const CommandLine& line, PhaseTimer& phases,
                 std::filesystem::path& record_folder) {
  const std::unique_ptr<Job> job = line.job->make();
  CommonConfig common;
  Schema schema;
  common.describe(schema);
  job->describe(schema);
  const std::filesystem::path folder = prepare(comm, line, common, schema);
  const Hardware hardware = find_hardware();
  const int threads = choose_threads(comm, hardware, common.threads);
  use_threads(threads);
  const auto device = open_device_for(comm, *job, common.device);

  std::optional<RunFolder> run;
  if (!line.dry_run) record_folder = run.emplace(comm, folder).path();
  const bool records = run && comm.is_root();
  if (records) {
    log_to_file(folder / kLogFile);
    run->local_write(kConfigFile, schema.to_toml());
  }
  report_hardware(comm, hardware, threads);
  EventLog no_events;
  std::optional<EventLog> events;
  if (records) {
    events.emplace(folder / kEventsFile, phases);
    events->beat_every(kHeartbeat);
  }
  JobContext context{
      comm,         folder, events ? *events : no_events, phases, line.dry_run, line.json,
      device.get(), {}};
  context.events.write("start", start_event(comm, *line.job, threads));
  const ExitCode code = job->run(context);
  const std::string table = phases.table(comm);
  const std::int64_t peak = comm.all_reduce_max(peak_memory_bytes());
  if (!line.dry_run)
    log_info("\n{}memory: at most {:.2f} GiB a rank", table, double(peak) / (1 << 30));
  context.result["seconds"] = phases.total_seconds();
  context.result["peak_memory_bytes"] = peak;
  context.result["exit_code"] = int(code);
  context.events.write("end", {{"exit_code", int(code)}, {"seconds", phases.total_seconds()}});
  if (records) run->local_write(kResultFile, context.result.dump(2) + "\n");
  if (line.json && comm.is_root()) std::cout << context.result.dump(2) << std::endl;
  if (code == ExitCode::stopped)
    log_info("stopped early ({}): submit the same command again to go on", stop_reason());
  return code;
}

// For who looks into the run's folder later. Any rank's business: the root may not know of
// another's error.
void local_record(const Comm& comm, const std::filesystem::path& folder, const PhaseTimer& phases,
                  const Error& e) {
  try {
    append_to_log(folder / kLogFile,
                  fmt::format("error: {}\n  on rank {}, host {}, exit code {}", e.what(),
                              comm.rank(), comm.host(), int(e.code())));
    EventLog(folder / kEventsFile, phases)
        .write("error", {{"code", int(e.code())},
                         {"what", e.problem()},
                         {"where", e.place()},
                         {"fix", e.remedy()},
                         {"rank", comm.rank()},
                         {"host", comm.host()}});
  } catch (const Error&) {  // the folder's disk may be what failed, and the error has been told
  }
}

int report(const Comm& comm, const std::filesystem::path& record_folder, const PhaseTimer& phases,
           const Error& e) {
  std::fprintf(stderr, "tutti: error: %s\n  on rank %d, host %s, exit code %d\n", e.what(),
               comm.rank(), comm.host().c_str(), int(e.code()));
  std::fflush(stderr);
  if (!record_folder.empty()) local_record(comm, record_folder, phases, e);
  return int(e.code());
}

// Runs the command on every rank; an error that all ranks agree on is told once, any other ends the
// whole job.
int run(Comm& comm, const CommandLine& line, PhaseTimer& phases) {
  std::filesystem::path record_folder;
  try {
    if (line.checkpoint.given) return int(run_checkpoint_tool(comm, line.checkpoint.request));
    if (line.tool) return int(line.tool->run(comm, line.tool_path, line.json));
    return int(run_job(comm, line, phases, record_folder));
  } catch (const Error& e) {
    if (e.agreed()) return comm.is_root() ? report(comm, record_folder, phases, e) : int(e.code());
    report(comm, record_folder, phases, e);
    comm.local_abort(e.code());
  } catch (const DeviceError& e) {
    const Error error = error_of(e);
    report(comm, record_folder, phases, error);
    comm.local_abort(error.code());
  } catch (const std::bad_alloc&) {
    report(comm, record_folder, phases,
           Error(ExitCode::io, "out of memory", "", "use more nodes or smaller batches"));
    comm.local_abort(ExitCode::io);
  } catch (const std::exception& e) {
    report(comm, record_folder, phases,
           Error(ExitCode::bug, e.what(), "",
                 "this is a bug in Tutti: please report it with this message"));
    comm.local_abort(ExitCode::bug);
  }
}

}  // namespace
}  // namespace tutti

int main(int argc, char** argv) {
  tutti::PhaseTimer phases;
  tutti::CommandLine line;
  if (const std::optional<int> code = tutti::parse(argc, argv, line)) return *code;
  tutti::install_stop_handlers();
  tutti::survive_file_size_limit();
  try {
    tutti::Comm comm(&argc, &argv);
    tutti::log_start(comm.rank());
    return tutti::run(comm, line, phases);
  } catch (const tutti::Error& e) {
    std::fprintf(stderr, "tutti: error: %s\n", e.what());
    return int(e.code());
  }
}
