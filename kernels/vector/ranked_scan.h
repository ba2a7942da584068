// Approximate search by codes: candidates, to be measured later.
//
// A vector's key is the squared distance of its code to the query's, in steps of the prefix, or
// what the prefix and the lengths alone estimate (code_space.h), where that is more. So the
// estimate, which tiles give for sixteen vectors by eight queries at a time, rules out what it puts
// too far away, and what is kept still depends on nothing but the vectors and the query. By the
// prefix alone a key is what is estimated. A loose vector's key is its distance itself.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/vector/candidates.h"
#include "kernels/vector/coded_scan.h"

namespace tutti {

// Adds to the candidates of query i the vectors of all lists that name i, with their places, ranked
// by these parts of their codes. A query should have a code that tells something: a radius of at
// most the space's cap. Parallel. Throws std::invalid_argument where shapes do not fit, or lists
// have less of the codes.
void scan_ranked(const CodeSpace& space, const CodedQueries& queries, CodeParts parts,
                 std::span<const CodedList> lists, Candidates& candidates);

}  // namespace tutti
