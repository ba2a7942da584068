#include <cmath>
#include <vector>

#include "kernels/ops/info_nce.h"

namespace tutti::reference {

template <class Real>
Real info_nce(const Real* queries, const Real* passages, int count, int dim, Real scale,
              Real* d_queries, Real* d_passages) {
  for (int i = 0; i < count * dim; ++i) d_queries[i] = d_passages[i] = 0;
  Real total = 0;
  std::vector<Real> scores(count);
  for (int i = 0; i < count; ++i) {
    Real sum = 0;
    for (int j = 0; j < count; ++j) {
      Real dot = 0;
      for (int c = 0; c < dim; ++c) dot += queries[i * dim + c] * passages[j * dim + c];
      scores[j] = scale * dot;
      sum += std::exp(scores[j]);
    }
    total += std::log(sum) - scores[i];
    for (int j = 0; j < count; ++j) {
      const Real weight = scale / count * (std::exp(scores[j]) / sum - (i == j ? 1 : 0));
      for (int c = 0; c < dim; ++c) {
        d_queries[i * dim + c] += weight * passages[j * dim + c];
        d_passages[j * dim + c] += weight * queries[i * dim + c];
      }
    }
  }
  return total / count;
}

template float info_nce(const float*, const float*, int, int, float, float*, float*);
template double info_nce(const double*, const double*, int, int, double, double*, double*);

}  // namespace tutti::reference
