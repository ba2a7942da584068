// What scan.cpp hands to scan_cpu.cpp once it has been checked. Internal to kernels/vector.
#pragma once

#include <span>

#include "kernels/vector/scan.h"

namespace tutti::detail {

// What scan_lists promises to throw.
void check_scan(const VectorRows& queries, std::span<const ListScan> lists,
                std::span<const TopK> results);

// A set of vectors, either rows or packed, and the queries to scan it with.
struct ScanTarget {
  VectorRows rows;
  const PackedVectors* packed = nullptr;  // scanned instead of `rows` where present
  VectorIds ids;
  std::span<const std::int64_t> queries;
};

void scan_cpu(const VectorRows& queries, std::span<const ScanTarget> targets, Metric metric,
              std::span<TopK> results);

}  // namespace tutti::detail
