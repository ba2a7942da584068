// CRC-32C (Castagnoli), the checksum of every block on disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tutti {

// The checksum of `data`; of "123456789" it is 0xE3069283. `seed` is the checksum of what came
// before, so that crc32c(b, crc32c(a)) is that of a followed by b.
std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t seed = 0);
std::uint32_t crc32c(std::string_view text, std::uint32_t seed = 0);

// As 8 lower-case hexadecimal digits, and back. The latter takes nothing else and returns false
// otherwise.
std::string crc_to_hex(std::uint32_t crc);
bool crc_from_hex(std::string_view digits, std::uint32_t* crc);

}  // namespace tutti
