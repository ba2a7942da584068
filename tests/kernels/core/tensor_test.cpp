#include "kernels/core/tensor.h"

#include <vector>

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(MatrixView, AddressesRowsByStride) {
  std::vector<int> data(12);
  for (int i = 0; i < 12; ++i) data[i] = i;
  const MatrixView<int> view(data.data(), 3, 2, 4);
  EXPECT_EQ(view(1, 1), 5);
  EXPECT_EQ(view.row(2), data.data() + 8);
  const MatrixView<const int> rest = view.row_range(1, 2);
  EXPECT_EQ(rest.rows, 2);
  EXPECT_EQ(rest(0, 0), 4);
  EXPECT_EQ(MatrixView<int>(data.data(), 4, 3)(2, 1), 7);
}

}  // namespace
}  // namespace tutti
