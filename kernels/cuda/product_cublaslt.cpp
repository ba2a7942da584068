#include <map>
#include <string>

#include <cublasLt.h>

#include "kernels/core/device_error.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/product.h"

namespace tutti::cuda {
namespace {

// What NVIDIA recommends for Hopper; split sums live there.
constexpr std::int64_t kWorkspaceBytes = 32 << 20;

void check(cublasStatus_t status, const char* call) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(
      status == CUBLAS_STATUS_ALLOC_FAILED ? DeviceError::Kind::full : DeviceError::Kind::failed,
      std::string(call) + ": " + cublasLtGetStatusName(status));
}

cudaDataType_t type_of(DType type) { return type == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

// A row-major matrix is to cuBLASLt, which counts by columns, its transpose.
class Layout {
 public:
  Layout(DType type, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
    check(cublasLtMatrixLayoutCreate(&layout_, type_of(type), std::uint64_t(cols),
                                     std::uint64_t(rows), stride),
          "cublasLtMatrixLayoutCreate");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  operator cublasLtMatrixLayout_t() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

class Description {
 public:
  explicit Description(const ProductShape& shape) {
    check(cublasLtMatmulDescCreate(&description_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    // C^T = B^T A^T: B comes first.
    set(CUBLASLT_MATMUL_DESC_TRANSA, shape.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, shape.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (!shape.bias) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of(shape.out));
  }
  ~Description() { cublasLtMatmulDescDestroy(description_); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(description_, attribute, &value, sizeof(value)),
          "cublasLtMatmulDescSetAttribute");
  }
  operator cublasLtMatmulDesc_t() const { return description_; }

 private:
  cublasLtMatmulDesc_t description_ = nullptr;
};

// What an algorithm may count on, and what it may do.
class Preference {
 public:
  Preference() {
    check(cublasLtMatmulPreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(kWorkspaceBytes));
    // Parts of a sum that was split are added up in the workspace, in f32 and in a fixed order.
    set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    // Matrices begin anywhere in an arena where 16 bytes do.
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      set(attribute, std::uint32_t(16));
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(preference_); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
  operator cublasLtMatmulPreference_t() const { return preference_; }

 private:
  template <class T>
  void set(cublasLtMatmulPreferenceAttributes_t attribute, T value) {
    check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  }
  cublasLtMatmulPreference_t preference_ = nullptr;
};

class Plan {
 public:
  Plan(cublasLtHandle_t handle, const ProductShape& s)
      : description_(s),
        a_(s.in, s.a_transposed ? s.k : s.m, s.a_transposed ? s.m : s.k, s.a_stride),
        b_(s.in, s.b_transposed ? s.n : s.k, s.b_transposed ? s.k : s.n, s.b_stride),
        c_(s.out, s.m, s.n, s.c_stride) {
    const Preference preference;
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle, description_, b_, a_, c_, c_, preference, 1,
                                         &heuristic_, &found),
          "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0)
      throw DeviceError(DeviceError::Kind::failed, "cuBLASLt has no algorithm for a product");
  }

  void run(cublasLtHandle_t handle, const ProductShape& s, const void* a, const void* b, void* c,
           const void* bias, void* workspace, cudaStream_t stream) {
    const float one = 1, beta = s.accumulate ? 1.0f : 0.0f;
    if (s.bias) description_.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    check(cublasLtMatmul(handle, description_, &one, b, b_, a, a_, &beta, c, c_, c, c_,
                         &heuristic_.algo, workspace, std::size_t(kWorkspaceBytes), stream),
          "cublasLtMatmul");
  }

 private:
  Description description_;
  Layout a_, b_, c_;
  cublasLtMatmulHeuristicResult_t heuristic_{};
};

}  // namespace

struct Products::State {
  State() { check(cublasLtCreate(&handle), "cublasLtCreate"); }
  ~State() { cublasLtDestroy(handle); }

  cublasLtHandle_t handle = nullptr;
  std::map<ProductShape, Plan> plans;
  DeviceBuffer<unsigned char> workspace{kWorkspaceBytes};
};

Products::Products() : state_(std::make_unique<State>()) {}
Products::~Products() = default;

void Products::run(const ProductShape& shape, const void* a, const void* b, void* c,
                   const void* bias, cudaStream_t stream) {
  auto it = state_->plans.find(shape);
  if (it == state_->plans.end())
    it = state_->plans
             .emplace(std::piecewise_construct, std::forward_as_tuple(shape),
                      std::forward_as_tuple(state_->handle, shape))
             .first;
  it->second.run(state_->handle, shape, a, b, c, bias, state_->workspace.data(), stream);
}

const char* Products::library() {
  static const std::string name = [] {
    const auto version = std::to_string(cublasLtGetVersion());
    return "cuBLASLt " + version;
  }();
  return name.c_str();
}

}  // namespace tutti::cuda
