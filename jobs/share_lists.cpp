#include "jobs/share_lists.h"

#include <queue>

#include "runtime/base/check.h"

namespace tutti {

std::vector<std::int64_t> share_lists(std::span<const std::int64_t> sizes, std::int64_t nlist) {
  struct Claim {
    std::int64_t size, share, group;
    // Whether another's vectors a list are more.
    bool operator<(const Claim& other) const {
      const auto a = double(size) / double(share), b = double(other.size) / double(other.share);
      return a != b ? a < b : group > other.group;
    }
  };
  std::vector<std::int64_t> shares(sizes.size());
  std::priority_queue<Claim> claims;
  std::int64_t left = nlist;
  for (std::size_t g = 0; g < sizes.size(); ++g) {
    if (sizes[g] == 0) continue;
    shares[g] = 1;
    --left;
    if (sizes[g] > 1) claims.push({sizes[g], 1, std::int64_t(g)});
  }
  CHECK(left >= 0, "there are as many lists as groups");
  for (; left > 0; --left) {
    CHECK(!claims.empty(), "there are as many vectors as lists");
    Claim claim = claims.top();
    claims.pop();
    ++shares[std::size_t(claim.group)];
    if (++claim.share < claim.size) claims.push(claim);
  }
  return shares;
}

}  // namespace tutti
