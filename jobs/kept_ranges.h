// Work on consecutive pieces, kept through kills as it is done.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "runtime/comm/partition.h"

namespace tutti {

// Files of a folder, each the results of some consecutive pieces, which its name tells, behind a
// digest of them and of the key. Ranks may share a folder, each adding pieces of its own. Local.
class KeptRanges {
 public:
  // `name`: what the files' names begin with. `key`: a digest of all that the results follow from.
  // `least`: so many pieces make a file, at least.
  KeptRanges(std::filesystem::path folder, std::string name, std::string key, std::int64_t least);

  // What is there under the key, by whichever start, and is not damaged; pieces may come twice.
  // Throws Error(io).
  void each(const std::function<void(Range, std::string_view)>& take) const;

  // The results of these pieces. They become durable, with those before them, where as much time
  // has passed that this costs little; returns whether they did. Throws Error(io).
  bool add(Range pieces, std::string_view results);
  // Makes durable what is not. Throws Error(io).
  void flush();

 private:
  bool is_worth_it() const;

  std::filesystem::path folder_;
  std::string name_, key_;
  std::int64_t least_;
  Range pending_;
  std::string results_;
  std::chrono::steady_clock::time_point flushed_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration cost_ = {};  // of the last time
};

}  // namespace tutti
