# Tests of the device's code, from the top: tests_fake_cuda (tests/fake_cuda) runs them on the CPU,
# tests_cuda on a GPU.
set(tutti_cuda_tests
  tests/cuda/activation_test.cpp
  tests/cuda/causal_attention_test.cpp
  tests/cuda/cross_entropy_test.cpp
  tests/cuda/decoder_test.cpp
  tests/cuda/instructions_test.cu
  tests/cuda/layer_norm_test.cpp
  tests/cuda/main.cpp
  tests/cuda/product_test.cpp
  tests/cuda/rows_test.cpp
  tests/cuda/scan_test.cpp
  tests/cuda/scan_tiles_test.cpp
  tests/cuda/session_test.cpp
  tests/cuda/support.cpp)
list(TRANSFORM tutti_cuda_tests PREPEND ${PROJECT_SOURCE_DIR}/)
