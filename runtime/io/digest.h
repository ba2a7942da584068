// XXH3-128: the digest that names an artefact's contents.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tutti {

// A digest over bytes fed in any number of pieces; where the pieces are cut does not matter.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void add(std::span<const std::byte> data);
  void add(std::string_view text);
  // 32 lower-case hexadecimal digits, as xxhsum -H2 prints them. More may be added afterwards.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_of(std::string_view text);

}  // namespace tutti
