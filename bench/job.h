// What benchmarks of whole jobs share: a dataset of any vocabulary, jobs as a user starts them, and
// what their records tell.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tutti::bench {

// An empty folder that is the current one for as long as this lives, and is then removed.
class JobFolder {
 public:
  explicit JobFolder(const std::filesystem::path& folder);
  ~JobFolder();
  JobFolder(const JobFolder&) = delete;
  JobFolder& operator=(const JobFolder&) = delete;

 private:
  std::filesystem::path folder_, before_;
};

// A byte-level tokenizer.json of so many entries: all bytes, pairs of bytes, and <|endoftext|>.
void write_tokenizer(const std::filesystem::path& path, int vocabulary);
// JSON lines of random letters, some 120 thousand tokens.
void write_documents(const std::filesystem::path& path);

// Runs `tutti COMMAND` on `ranks` ranks of `threads` threads each; its output goes to log.txt. Ends
// this program where the job ends with another exit code than `code`.
void run_job(int ranks, int threads, const std::string& command, int code = 0);

// Of a run of train.
struct JobRecord {
  JobRecord(const std::filesystem::path& run, double tokens_of_a_step);

  double peak_bytes = 0;      // of the largest rank
  double first_step = 0;      // when it began, in seconds of the system's clock
  double ready = 0;           // when the last start was ready for it
  std::vector<double> rates;  // tokens a second of the steps after the first
};

// The system's clock in seconds.
double now();

}  // namespace tutti::bench
