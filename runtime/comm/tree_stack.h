// The pairing of nodes in the fixed tree (tree_sum.h), whatever is added.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/comm/tree_sum.h"

namespace tutti {

// Whether there are no leaves to the right of this left child under its parent: the parent is the
// child.
inline bool lacks_sibling(TreeNode node, std::int64_t leaves) {
  const std::int64_t end = std::min((node.index + 1) << node.level, leaves);
  return node.index % 2 == 0 && node.index > 0 && end == leaves;
}

inline bool are_siblings(TreeNode left, TreeNode right) {
  return left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
}

// Climbs from a lone left child to its parent, which has the same value.
inline void promote(TreeNode& node, std::int64_t leaves) {
  while (lacks_sibling(node, leaves)) {
    ++node.level;
    node.index /= 2;
  }
}

// Nodes that wait for their siblings, each with an Item.
template <class Item>
class TreeStack {
 public:
  explicit TreeStack(std::int64_t leaves) : leaves_(leaves) {}

  // The next node to the right of those that were pushed. add(left, right) is called for each pair
  // of siblings, in the tree's order; the left item goes on.
  template <class Add>
  void push(TreeNode node, Item item, Add&& add) {
    nodes_.push_back(node);
    items_.push_back(item);
    promote(nodes_.back(), leaves_);
    while (nodes_.size() > 1 && are_siblings(nodes_[nodes_.size() - 2], nodes_.back())) {
      add(items_[items_.size() - 2], items_.back());
      nodes_.pop_back();
      items_.pop_back();
      nodes_.back() = {nodes_.back().level + 1, nodes_.back().index / 2};
      promote(nodes_.back(), leaves_);
    }
  }

  void clear() {
    nodes_.clear();
    items_.clear();
  }
  const std::vector<TreeNode>& nodes() const { return nodes_; }
  const std::vector<Item>& items() const { return items_; }

 private:
  std::int64_t leaves_;
  std::vector<TreeNode> nodes_;
  std::vector<Item> items_;
};

}  // namespace tutti
