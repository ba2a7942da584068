#include "tests/fault/soak_record.h"

#include <fmt/format.h>

namespace tutti::testing {
namespace {

std::string told(const std::map<std::string, int>& counts) {
  std::string text;
  for (const auto& [name, count] : counts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, count);
  return text.empty() ? "none" : text;
}

std::string told(const char* what, const std::vector<std::string>& lines) {
  std::string text = fmt::format("  {:<28} {}\n", what, lines.size());
  for (const std::string& line : lines) text += "    " + line + "\n";
  return text;
}

}  // namespace

std::string SoakRecord::progress(int kills_wanted, double seconds) const {
  return fmt::format(
      "soak: {} of {} kills, {} starts, {} restores, {} jobs completed, {} differences, {} "
      "unexpected, {:.1f} kills a minute",
      kills, kills_wanted, starts, restores, completed, differences.size(),
      unexpected.size() + hangs.size(), 60 * kills / seconds);
}

std::string SoakRecord::summary(double seconds) const {
  std::string text = fmt::format("soak: {} kills in {:.0f} s, {:.1f} a minute\n", kills, seconds,
                                 60 * kills / seconds);
  const auto line = [&](const char* what, const auto& value) {
    text += fmt::format("  {:<28} {}\n", what, value);
  };
  line("kills by victim", told(kills_by_victim));
  line("kills by moment", told(kills_by_moment));
  line("starts by ranks", told(starts_by_ranks));
  line("exit codes", told(exit_codes));
  line("starts", starts);
  line("starts refused, then repeated", refused);
  line("starts that waited for ranks", waited);
  line("ranks outliving mpirun",
       fmt::format("{}, at most {:.2f} s", survivors, longest_survival_seconds));
  line("nodes lost", nodes_lost);
  line("restores", restores);
  line("generations committed", generations);
  line("generations set aside", damaged);
  line("jobs completed", completed);
  text +=
      told("differences", differences) + told("unexpected ends", unexpected) + told("hangs", hangs);
  return text + (good() ? "soak: good\n" : "soak: NOT good\n");
}

}  // namespace tutti::testing
