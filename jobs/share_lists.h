// How many of an index's lists each group of vectors gets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tutti {

// One, and of the others those that its size asks for, never more than it has vectors (D'Hondt's
// method; of equals the lowest). Empty groups get none. CHECKs that there are as many vectors as
// lists, and as many lists as groups with vectors.
std::vector<std::int64_t> share_lists(std::span<const std::int64_t> sizes, std::int64_t nlist);

}  // namespace tutti
