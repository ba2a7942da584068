#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops/causal_attention.h"

namespace tutti::reference {

void causal_attention(const double* q, const double* k, const double* v, int length, int size,
                      int window, double* out) {
  std::fill_n(out, length * size, 0.0);
  for (int r = 0; r < length; ++r) {
    const int begin = window > 0 ? std::max(0, r - window + 1) : 0;
    std::vector<double> weights;
    double sum = 0;
    for (int c = begin; c <= r; ++c) {
      double score = 0;
      for (int i = 0; i < size; ++i) score += q[r * size + i] * k[c * size + i];
      weights.push_back(std::exp(score / std::sqrt(double(size))));
      sum += weights.back();
    }
    for (int c = begin; c <= r; ++c)
      for (int i = 0; i < size; ++i)
        out[r * size + i] += weights[c - begin] / sum * v[c * size + i];
  }
}

}  // namespace tutti::reference
