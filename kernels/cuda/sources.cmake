# The device library's own sources, from the top: nvcc compiles them for a GPU, and the tests, as
# plain C++, for the fake one. What only one of the two has stands where that is built.
set(tutti_cuda_sources
  kernels/cuda/arrays_cuda.cu
  kernels/cuda/check.cpp
  kernels/cuda/memory.cpp
  kernels/device/cuda_backend.cpp
  kernels/device/cuda_memory.cpp
  kernels/device/cuda_optimizer.cpp
  kernels/device/cuda_product_rate.cpp
  kernels/model/decoder_cuda.cpp
  kernels/ops/activation_cuda.cu
  kernels/ops/causal_attention_cuda.cu
  kernels/ops/cross_entropy_cuda.cu
  kernels/ops/layer_norm_cuda.cu
  kernels/ops/rope_cuda.cu
  kernels/ops/rows_cuda.cu
  kernels/optim/adamw_cuda.cu
  kernels/optim/gradient_norm_cuda.cu
  kernels/vector/device_rows_cuda.cpp
  kernels/vector/scan_cuda.cpp
  kernels/vector/scan_probes_cuda.cu
  kernels/vector/scan_rows_cuda.cu
  kernels/vector/scan_state_cuda.cpp
  kernels/vector/scan_survivors_cuda.cu
  kernels/vector/scan_tiles_cuda.cu)
# sm_80 and its PTX, from which the driver makes what later GPUs need, and Hopper's own.
set(tutti_cuda_architectures 80 90a-real)
# nvcc warns of a conversion that MatrixView has for mutable elements alone (554).
set(tutti_cuda_options --expt-relaxed-constexpr -diag-suppress=554
  -Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers
  -Xptxas=-warn-spills,-warn-lmem-usage
  $<$<BOOL:${TUTTI_WERROR}>:-Werror=all-warnings>)

list(TRANSFORM tutti_cuda_sources PREPEND ${PROJECT_SOURCE_DIR}/)
