// One table of keys per job: it parses the configuration, explains it (--help) and writes it back
// resolved.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tutti {

// What duration_or_auto makes of "auto".
inline constexpr double kAutomaticDuration = -1;

// A schema binds configuration keys ("section.name") to variables whose present values are the
// defaults. Values come, later ones winning, from a TOML file, from TUTTI_SECTION_NAME environment
// variables, and from "section.name=value" settings. Every mistake is an Error with ExitCode::usage
// that names the place and, for an unknown key, the nearest known one. Local: ranks load the same
// file and get the same values.
class Schema {
 public:
  // `unit` is shown in the help ("" for none); bound variables must outlive the schema.
  void key(std::string name, std::int64_t* value, std::string unit, std::string meaning);
  void key(std::string name, double* value, std::string unit, std::string meaning);
  void key(std::string name, bool* value, std::string meaning);
  // True, false or "auto", which is nothing.
  void key(std::string name, std::optional<bool>* value, std::string meaning);
  // A number or "none", which is nothing.
  void key(std::string name, std::optional<double>* value, std::string unit, std::string meaning);
  void key(std::string name, std::string* value, std::string meaning);
  void key(std::string name, std::vector<std::string>* value, std::string meaning);
  void key(std::string name, std::vector<std::int64_t>* value, std::string unit,
           std::string meaning);
  // A string that must be one of `choices`.
  void choice(std::string name, std::string* value, std::vector<std::string> choices,
              std::string meaning);
  // Seconds, written as 90, "90s", "5m", "1.5h" or "H:MM:SS".
  void duration(std::string name, double* seconds, std::string meaning);
  // The same, or "auto", which sets kAutomaticDuration.
  void duration_or_auto(std::string name, double* seconds, std::string meaning);
  // Bytes, written as a number or as "512MiB", "4GiB".
  void bytes(std::string name, std::int64_t* bytes, std::string meaning);
  // A key that must be given: parsing ends in an Error when it was not.
  void require(const std::string& name);

  void load_file(const std::filesystem::path& file);
  void load_environment();
  void set(const std::string& setting);  // "a.b=value", the value in TOML or as a bare string
  void check_required() const;

  std::string help() const;     // every key with default, unit and meaning
  std::string to_toml() const;  // every key as resolved; load_file reads it back

 private:
  struct Key {
    std::string name, unit, meaning, default_text;
    std::function<void(const void* node, const std::string& place)> parse;  // node: a toml::node
    std::function<std::string()> print;                                     // the value as TOML
    bool required = false;
    bool given = false;
  };
  Key& add(std::string name, std::string unit, std::string meaning);
  void assign(const std::string& name, const void* node, const std::string& place);
  Key* find(const std::string& name);
  std::string nearest(const std::string& name) const;

  std::vector<Key> keys_;
};

// "90", "90s", "5m", "1.5h", "2d" or "H:MM:SS" in seconds; throws Error(usage) naming `place`.
double parse_duration(const std::string& text, const std::string& place);
// "4096", "512KiB", "64MiB", "4GiB" in bytes; throws Error(usage) naming `place`.
std::int64_t parse_bytes(const std::string& text, const std::string& place);

}  // namespace tutti
