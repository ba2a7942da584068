// The machine's instructions: what the fake ones do is what the GPU does.
#include <cuda_instructions.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "tests/cuda/support.h"

namespace tutti {
namespace {

using namespace cuda;

// D = A B with A [16, 16] and B [16, 8] through shared memory, as a matrix kernel does it: copied
// asynchronously, taken as fragments; B once as it is, once from its transpose.
__global__ void multiply(const bf16* a, const bf16* b, const bf16* b_transposed, float* d,
                         float* d_too) {
  bf16* shared = dynamic_shared<bf16>();
  bf16 *shared_a = shared, *shared_b = shared + 256, *shared_t = shared_b + 128;
  const int lane = int(threadIdx.x);
  copy_async_16(shared_a + lane * 8, a + lane * 8);
  commit_copies();
  if (lane < 16) {
    copy_async_16(shared_b + lane * 8, b + lane * 8);
    copy_async_16(shared_t + lane * 8, b_transposed + lane * 8);
  }
  commit_copies();
  wait_copies<0>();
  __syncwarp();
  std::uint32_t fa[4], fb[4], ft[4];
  load_matrices(fa, shared_a + lane % 16 * 16 + lane / 16 * 8);
  // B's rows are its inner dimension: two matrices, twice.
  load_matrices_transposed(fb, shared_b + lane % 16 * 8);
  load_matrices(ft, shared_t + lane % 8 * 16 + lane / 8 % 2 * 8);
  float one[4] = {}, two[4] = {};
  const std::uint32_t b_one[2] = {fb[0], fb[1]}, b_two[2] = {ft[0], ft[1]};
  mma_bf16_16x8x16(one, fa, b_one);
  mma_bf16_16x8x16(two, fa, b_two);
  for (int i = 0; i < 4; ++i) {
    const int at = (lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2;
    d[at] = one[i];
    d_too[at] = two[i];
  }
}

TEST(Instructions, MultiplyMatrices) {
  const auto a = test::random_values<bf16>(1, 256), b = test::random_values<bf16>(2, 128);
  std::vector<bf16> transposed(128);
  std::vector<float> expected(128);
  for (int k = 0; k < 16; ++k)
    for (int c = 0; c < 8; ++c) {
      transposed[c * 16 + k] = b[k * 8 + c];
      for (int r = 0; r < 16; ++r)
        expected[r * 8 + c] += float(a[r * 16 + k]) * float(b[k * 8 + c]);
    }
  const auto da = test::on_device(a), db = test::on_device(b), dt = test::on_device(transposed);
  DeviceBuffer<float> d(128), d_too(128);
  launch({dim3(1), dim3(32), 1024}, test::stream(), multiply, da.data(), db.data(), dt.data(),
         d.data(), d_too.data());
  test::expect_near(test::on_host(d), expected, 1e-5);
  test::expect_near(test::on_host(d_too), expected, 1e-5);
}

__global__ void sums(const float* x, float* block, float* top, std::uint32_t* packed) {
  __shared__ float scratch[32];
  const float mine = x[threadIdx.x];
  const float sum = block_sum(mine, scratch), most = block_max(mine, scratch);
  block[threadIdx.x] = sum;
  top[threadIdx.x] = most;
  packed[threadIdx.x] = pack_bf16(mine, -mine);
}

TEST(Instructions, ReduceAndRound) {
  const auto x = test::random_values(3, 96);
  const auto dx = test::on_device(x);
  DeviceBuffer<float> block(96), top(96);
  DeviceBuffer<std::uint32_t> packed(96);
  launch({dim3(1), dim3(96)}, test::stream(), sums, dx.data(), block.data(), top.data(),
         packed.data());
  float sum = 0, most = x[0];
  for (const float v : x) sum += v, most = std::max(most, v);
  test::expect_near(test::on_host(block), std::vector<float>(96, sum), 1e-4);
  test::expect_near(test::on_host(top), std::vector<float>(96, most), 0);
  const auto pairs = test::on_host(packed);
  for (std::size_t i = 0; i < 96; ++i)
    EXPECT_EQ(pairs[i], std::uint32_t(bf16(x[i]).bits) | std::uint32_t(bf16(-x[i]).bits) << 16);
}

}  // namespace
}  // namespace tutti
