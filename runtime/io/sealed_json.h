// JSON files that carry their own checksum and are still valid JSON; see FORMAT.md.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace tutti {

// The bytes of a sealed file that holds `object`, a JSON object without a key "crc32c". The first
// key is "crc32c"; its 8 digits are the CRC-32C of all the bytes with those digits taken as zeros.
// The same object gives the same bytes.
std::string seal_json(const nlohmann::json& object);
// The object in sealed bytes, without "crc32c". Throws Error(data) naming `place` where as much as
// one bit is wrong.
nlohmann::json unseal_json(std::string_view bytes, const std::string& place);

// seal_json through atomic_replace. Local.
void write_sealed_json(const std::filesystem::path& path, const nlohmann::json& object);
// Throws Error(data) where the file is missing or damaged. Local.
nlohmann::json read_sealed_json(const std::filesystem::path& path);

}  // namespace tutti
