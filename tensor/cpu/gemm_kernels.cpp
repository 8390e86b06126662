// tensor/cpu/gemm_kernels.cpp -- oneDNN's sgemm and Eigen behind one signature.
#include "tensor/cpu/gemm_kernels.h"

#include "tensor/cpu/eigen.h"
#ifdef RETORT_HAVE_ONEDNN
#include <dnnl.h>
#endif

namespace retort::cpu {
namespace {

template <class T, int Order>
using Mapped =
    Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Order>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class T>
void eigen_product(std::int64_t m, std::int64_t n, std::int64_t k, T alpha, TileOperand<T> a, TileOperand<T> b, T beta,
                   T* c, std::int64_t ldc) {
  Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, Eigen::Unaligned, Eigen::OuterStride<>>
      out(c, m, n, Eigen::OuterStride<>(ldc));
  if (beta == T(0)) {
    out.setZero();
  } else if (beta != T(1)) {
    out *= beta;
  }
  const auto accumulate = [&](const auto& lhs) {
    if (b.transposed) {
      out.noalias() += alpha * lhs * Mapped<T, Eigen::ColMajor>(b.data, k, n, Eigen::OuterStride<>(b.ld));
    } else {
      out.noalias() += alpha * lhs * Mapped<T, Eigen::RowMajor>(b.data, k, n, Eigen::OuterStride<>(b.ld));
    }
  };
  if (a.transposed) {
    accumulate(Mapped<T, Eigen::ColMajor>(a.data, m, k, Eigen::OuterStride<>(a.ld)));
  } else {
    accumulate(Mapped<T, Eigen::RowMajor>(a.data, m, k, Eigen::OuterStride<>(a.ld)));
  }
}

}  // namespace

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, TileOperand<float> a,
                  TileOperand<float> b, float beta, float* c, std::int64_t ldc, Engine engine) {
#ifdef RETORT_HAVE_ONEDNN
  if (engine == Engine::onednn) {
    const dnnl_status_t status = dnnl_sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data,
                                            a.ld, b.data, b.ld, beta, c, ldc);
    if (status == dnnl_out_of_memory) throw MemoryError("gemm: oneDNN found no memory; got m {} n {} k {}", m, n, k);
    if (status != dnnl_success)
      throw InternalError("gemm: oneDNN refused a product; got m {} n {} k {} status {}", m, n, k, int(status));
    return;
  }
#else
  if (engine == Engine::onednn) throw ConfigError("gemm: this build has no oneDNN; got Engine::onednn");
#endif
  eigen_product(m, n, k, alpha, a, b, beta, c, ldc);
}

void tile_product(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, TileOperand<double> a,
                  TileOperand<double> b, double beta, double* c, std::int64_t ldc, Engine) {
  eigen_product(m, n, k, alpha, a, b, beta, c, ldc);  // oneDNN has no f64
}

}  // namespace retort::cpu
