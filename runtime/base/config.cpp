#include "runtime/base/config.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "runtime/base/check.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace tutti {
namespace {

[[noreturn]] void usage(const std::string& problem, const std::string& place,
                        const std::string& remedy = "") {
  throw Error(ExitCode::usage, problem, place, remedy);
}

const toml::node& as_node(const void* node) { return *static_cast<const toml::node*>(node); }

std::int64_t integer_of(const toml::node& node, const std::string& place) {
  if (auto v = node.value_exact<std::int64_t>()) return *v;
  usage("expected an integer", place);
}

double number_of(const toml::node& node, const std::string& place) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (auto v = node.value_exact<double>()) value = *v;
  if (auto v = node.value_exact<std::int64_t>()) value = double(*v);
  if (!std::isfinite(value)) usage("expected a finite number", place);
  return value;
}

std::string string_of(const toml::node& node, const std::string& place) {
  if (auto v = node.value_exact<std::string>()) return *v;
  usage("expected a string", place);
}

// A number, or a string in one of the notations of durations and sizes.
std::string text_of(const toml::node& node, const std::string& place) {
  if (auto v = node.value_exact<std::string>()) return *v;
  if (auto v = node.value_exact<std::int64_t>()) return std::to_string(*v);
  if (auto v = node.value_exact<double>()) return fmt::format("{}", *v);
  usage("expected a number or a string", place);
}

std::string number_text(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

// A basic string: quotes, backslashes and control characters escaped.
std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

// {value = "text"}. TOML is UTF-8, and what else the text may be could not be written back.
toml::table bare_string(const std::string& text, const std::string& place) {
  try {
    return toml::parse("value = " + toml_string(text));
  } catch (const toml::parse_error&) {
    usage("the value is no UTF-8 text", place);
  }
}

std::string listed(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const std::string& v : values) text += (text.size() > 1 ? ", " : "") + toml_string(v);
  return text + "]";
}

std::string environment_name(const std::string& key) {
  std::string name = "TUTTI_" + key;
  for (char& c : name) c = c == '.' ? '_' : char(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// Splits "12.5xyz" into its number and what follows; false where there is no number in front.
bool split_number(const std::string& text, double* number, std::string* unit) {
  char* end = nullptr;
  *number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(*number) || *number < 0) return false;
  *unit = end;
  while (!unit->empty() && unit->front() == ' ') unit->erase(0, 1);
  return true;
}

// A longer time overflows the clocks; nothing waits for a century.
constexpr double kLongestSeconds = 3e9;

// Seconds of "H:MM:SS": digits and colons, nothing else.
std::optional<double> clock_seconds(const std::string& text) {
  double seconds = 0;
  std::size_t at = 0;
  for (const std::size_t most : {std::size_t(5), std::size_t(2), std::size_t(2)}) {
    if (at > 0 && (at >= text.size() || text[at++] != ':')) return std::nullopt;
    unsigned part = 0;
    const char* begin = text.data() + at;
    const auto [end, error] =
        std::from_chars(begin, begin + std::min(most, text.size() - at), part);
    if (error != std::errc() || (at > 0 && part > 59)) return std::nullopt;
    at += std::size_t(end - begin);
    seconds = seconds * 60 + part;
  }
  return at == text.size() ? std::optional(seconds) : std::nullopt;
}

}  // namespace

double parse_duration(const std::string& text, const std::string& place) {
  static const std::pair<const char*, double> units[] = {
      {"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"ms", 1e-3}};
  double number = 0;
  std::string rest;
  if (text.find(':') != std::string::npos) {
    if (const auto seconds = clock_seconds(text)) return *seconds;
  } else if (split_number(text, &number, &rest)) {
    for (const auto& [name, seconds] : units)
      if (rest == name && number * seconds <= kLongestSeconds) return number * seconds;
  }
  usage("\"" + text + "\" is not a duration", place, "write 90, \"90s\", \"5m\" or \"H:MM:SS\"");
}

std::int64_t parse_bytes(const std::string& text, const std::string& place) {
  static const std::pair<const char*, double> units[] = {{"", 1},
                                                         {"B", 1},
                                                         {"KiB", 1024.0},
                                                         {"MiB", 1048576.0},
                                                         {"GiB", 1 << 30},
                                                         {"kB", 1e3},
                                                         {"TiB", 1024.0 * (1 << 30)},
                                                         {"MB", 1e6},
                                                         {"GB", 1e9}};
  double number = 0;
  std::string rest;
  if (split_number(text, &number, &rest))
    for (const auto& [name, bytes] : units)
      if (rest == name && number * bytes < 9e18) return std::int64_t(number * bytes);
  usage("\"" + text + "\" is not a size", place, "write a number of bytes, \"512MiB\" or \"4GiB\"");
}

Schema::Key& Schema::add(std::string name, std::string unit, std::string meaning) {
  CHECK(!find(name), name);
  Key& k = keys_.emplace_back();
  k.name = std::move(name);
  k.unit = std::move(unit);
  k.meaning = std::move(meaning);
  return k;
}

void Schema::key(std::string name, std::int64_t* value, std::string unit, std::string meaning) {
  Key& k = add(std::move(name), std::move(unit), std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) { *value = integer_of(as_node(n), p); };
  k.print = [value] { return std::to_string(*value); };
  k.default_text = k.print();
}

void Schema::key(std::string name, double* value, std::string unit, std::string meaning) {
  Key& k = add(std::move(name), std::move(unit), std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) { *value = number_of(as_node(n), p); };
  k.print = [value] { return number_text(*value); };
  k.default_text = k.print();
}

void Schema::key(std::string name, bool* value, std::string meaning) {
  Key& k = add(std::move(name), "", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    if (auto v = as_node(n).value_exact<bool>())
      *value = *v;
    else
      usage("expected true or false", p);
  };
  k.print = [value] { return *value ? "true" : "false"; };
  k.default_text = k.print();
}

void Schema::key(std::string name, std::optional<bool>* value, std::string meaning) {
  Key& k = add(std::move(name), "true, false or \"auto\"", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    *value = as_node(n).value_exact<bool>();
    if (!*value && as_node(n).value_exact<std::string>() != "auto")
      usage("expected true, false or \"auto\"", p);
  };
  k.print = [value] { return !*value ? toml_string("auto") : **value ? "true" : "false"; };
  k.default_text = k.print();
}

void Schema::key(std::string name, std::optional<double>* value, std::string unit,
                 std::string meaning) {
  Key& k = add(std::move(name), unit + " or \"none\"", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    if (as_node(n).value_exact<std::string>() == "none")
      value->reset();
    else
      *value = number_of(as_node(n), p);
  };
  k.print = [value] { return *value ? number_text(**value) : toml_string("none"); };
  k.default_text = k.print();
}

void Schema::key(std::string name, std::string* value, std::string meaning) {
  Key& k = add(std::move(name), "", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) { *value = string_of(as_node(n), p); };
  k.print = [value] { return toml_string(*value); };
  k.default_text = k.print();
}

void Schema::key(std::string name, std::vector<std::string>* value, std::string meaning) {
  Key& k = add(std::move(name), "", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    const toml::node& node = as_node(n);
    value->clear();
    if (const toml::array* list = node.as_array())
      for (const toml::node& item : *list) value->push_back(string_of(item, p));
    else
      value->push_back(string_of(node, p));
  };
  k.print = [value] { return listed(*value); };
  k.default_text = k.print();
}

void Schema::key(std::string name, std::vector<std::int64_t>* value, std::string unit,
                 std::string meaning) {
  Key& k = add(std::move(name), std::move(unit), std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    const toml::node& node = as_node(n);
    value->clear();
    if (const toml::array* list = node.as_array())
      for (const toml::node& item : *list) value->push_back(integer_of(item, p));
    else
      value->push_back(integer_of(node, p));
  };
  k.print = [value] { return fmt::format("[{}]", fmt::join(*value, ", ")); };
  k.default_text = k.print();
}

void Schema::choice(std::string name, std::string* value, std::vector<std::string> choices,
                    std::string meaning) {
  const std::string options = fmt::format("one of {}", fmt::join(choices, ", "));
  Key& k = add(std::move(name), options, std::move(meaning));
  k.parse = [value, choices, options](const void* n, const std::string& p) {
    std::string text = string_of(as_node(n), p);
    if (std::find(choices.begin(), choices.end(), text) == choices.end())
      usage("\"" + text + "\" is not " + options, p);
    *value = std::move(text);
  };
  k.print = [value] { return toml_string(*value); };
  k.default_text = k.print();
}

void Schema::duration(std::string name, double* seconds, std::string meaning) {
  Key& k = add(std::move(name), "duration", std::move(meaning));
  k.parse = [seconds](const void* n, const std::string& p) {
    *seconds = parse_duration(text_of(as_node(n), p), p);
  };
  k.print = [seconds] { return toml_string(fmt::format("{}s", *seconds)); };
  k.default_text = k.print();
}

void Schema::duration_or_auto(std::string name, double* seconds, std::string meaning) {
  Key& k = add(std::move(name), "duration or \"auto\"", std::move(meaning));
  k.parse = [seconds](const void* n, const std::string& p) {
    const std::string text = text_of(as_node(n), p);
    *seconds = text == "auto" ? kAutomaticDuration : parse_duration(text, p);
  };
  k.print = [seconds] {
    return toml_string(*seconds == kAutomaticDuration ? "auto" : fmt::format("{}s", *seconds));
  };
  k.default_text = k.print();
}

void Schema::bytes(std::string name, std::int64_t* value, std::string meaning) {
  Key& k = add(std::move(name), "bytes", std::move(meaning));
  k.parse = [value](const void* n, const std::string& p) {
    *value = parse_bytes(text_of(as_node(n), p), p);
  };
  k.print = [value] { return std::to_string(*value); };
  k.default_text = k.print();
}

void Schema::require(const std::string& name) {
  Key* k = find(name);
  CHECK(k != nullptr, name);
  k->required = true;
  k->default_text = "(must be given)";
}

Schema::Key* Schema::find(const std::string& name) {
  for (Key& k : keys_)
    if (k.name == name) return &k;
  return nullptr;
}

std::string Schema::nearest(const std::string& name) const {
  std::vector<std::string> names;
  for (const Key& k : keys_) names.push_back(k.name);
  return nearest_name(name, names);
}

void Schema::assign(const std::string& name, const void* node, const std::string& place) {
  if (Key* k = find(name)) {
    k->parse(node, place);
    k->given = true;
    return;
  }
  const std::string near = nearest(name);
  usage("unknown configuration key \"" + name + "\"", place,
        near.empty() ? "this job has no keys" : "the nearest known key is \"" + near + "\"");
}

void Schema::load_file(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) usage("cannot open the configuration file", file.string(), "check the path");
  toml::table root;
  try {
    root = toml::parse(in, file.string());
  } catch (const toml::parse_error& e) {
    usage(std::string(e.description()),
          fmt::format("{}:{}:{}", file.string(), e.source().begin.line, e.source().begin.column));
  }
  const std::function<void(const toml::table&, const std::string&)> walk =
      [&](const toml::table& table, const std::string& prefix) {
        for (const auto& [k, node] : table) {
          const std::string name = prefix + std::string(k.str());
          if (const toml::table* inner = node.as_table())
            walk(*inner, name + ".");
          else
            assign(name, &node,
                   fmt::format("{}:{}: {}", file.string(), node.source().begin.line, name));
        }
      };
  walk(root, "");
}

void Schema::load_environment() {
  for (const Key& k : keys_) {
    const std::string variable = environment_name(k.name);
    if (const char* value = std::getenv(variable.c_str())) set(k.name + "=" + value);
  }
}

void Schema::set(const std::string& setting) {
  const std::size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0)
    usage("\"" + setting + "\" is not a setting", "--set", "write --set section.key=value");
  const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
  const std::string place = "--set " + name;
  // What parses as a TOML value is one; everything else is a bare string, as a shell user writes
  // it.
  toml::table parsed;
  try {
    parsed = toml::parse("value = " + value);
  } catch (const toml::parse_error&) {
  }
  // A line break in it would hold more than the one value; dates are none of ours.
  if (parsed.size() != 1 || parsed["value"].is_date() || parsed["value"].is_time() ||
      parsed["value"].is_date_time())
    parsed = bare_string(value, place);
  assign(name, parsed.get("value"), place);
}

void Schema::check_required() const {
  for (const Key& k : keys_)
    if (k.required && !k.given)
      usage("the configuration key \"" + k.name + "\" must be given (" + k.meaning + ")",
            "configuration", "add it to the file, or --set " + k.name + "=...");
}

std::string Schema::help() const {
  std::size_t width = 0;
  for (const Key& k : keys_) width = std::max(width, k.name.size());
  std::string text;
  for (const Key& k : keys_) {
    text += fmt::format("  {:<{}}  {}", k.name, width, k.meaning);
    text += fmt::format("\n  {:<{}}  [{}{}{}]\n", "", width, k.default_text,
                        k.unit.empty() ? "" : "; ", k.unit);
  }
  return text;
}

std::string Schema::to_toml() const {
  // Keys without a section come first, as TOML demands; sections follow in order of appearance.
  std::vector<std::pair<std::string, std::string>> sections = {{"", ""}};
  for (const Key& k : keys_) {
    const std::size_t dot = k.name.rfind('.');
    const std::string section = dot == std::string::npos ? "" : k.name.substr(0, dot);
    auto it = std::find_if(sections.begin(), sections.end(),
                           [&](const auto& s) { return s.first == section; });
    if (it == sections.end()) it = sections.insert(sections.end(), {section, ""});
    it->second += k.name.substr(dot == std::string::npos ? 0 : dot + 1) + " = " + k.print() + "\n";
  }
  std::string text;
  for (const auto& [section, lines] : sections) {
    if (!section.empty()) text += (text.empty() ? "[" : "\n[") + section + "]\n";
    text += lines;
  }
  return text;
}

}  // namespace tutti
