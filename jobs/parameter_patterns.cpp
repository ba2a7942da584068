#include "jobs/parameter_patterns.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include <fmt/format.h>
#include <fnmatch.h>

#include "runtime/base/error.h"

namespace tutti {
namespace {

[[noreturn]] void wrong(const std::string& what, const char* key, const std::string& fix = "") {
  throw Error(ExitCode::usage, what, key, fix).as_agreed();
}

// The rules of the parameters that a pattern matches.
std::vector<ParameterRule*> matching(const ArenaLayout& layout, std::vector<ParameterRule>& rules,
                                     const std::string& pattern, const char* key) {
  std::vector<ParameterRule*> found;
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (fnmatch(pattern.c_str(), layout.parameters()[i].name.c_str(), 0) == 0)
      found.push_back(&rules[i]);
  if (found.empty())
    wrong(fmt::format("no parameter is called \"{}\"", pattern), key,
          fmt::format("names are such as {} and {}", layout.parameters().front().name,
                      layout.parameters().back().name));
  return found;
}

float decay_in(const std::string& text, const std::string& setting) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !std::isfinite(value) || value < 0)
    wrong(fmt::format("\"{}\" does not say how much weight decays", setting), "optimizer.decay",
          "write a pattern and a number, as in \"layer*.norm*=0.01\"");
  return float(value);
}

}  // namespace

std::vector<ParameterRule> rules_by_name(const ArenaLayout& layout, double weight_decay,
                                         const ParameterPatterns& patterns) {
  std::vector<ParameterRule> rules = default_rules(layout, float(weight_decay));
  for (const std::string& setting : patterns.decay) {
    const std::size_t equals = setting.rfind('=');
    const float decay =
        decay_in(equals == std::string::npos ? "" : setting.substr(equals + 1), setting);
    for (ParameterRule* rule :
         matching(layout, rules, setting.substr(0, equals), "optimizer.decay"))
      rule->weight_decay = decay;
  }
  for (const std::string& pattern : patterns.freeze)
    for (ParameterRule* rule : matching(layout, rules, pattern, "train.freeze"))
      rule->frozen = true;
  if (std::all_of(rules.begin(), rules.end(), [](const ParameterRule& r) { return r.frozen; }))
    wrong("every parameter is frozen", "train.freeze", "leave one to train");
  return rules;
}

}  // namespace tutti
