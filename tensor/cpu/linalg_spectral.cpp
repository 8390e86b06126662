// tensor/cpu/linalg_spectral.cpp -- CPU kernels of singular values and of the symmetric eigenvalue problem.
#include <cmath>
#include <limits>

#include "tensor/attrs.h"
#include "tensor/cpu/matrices.h"
#include "tensor/primitive.h"

namespace retort {

using cpu::for_each_matrix;
using cpu::Matrices;
using cpu::Matrix;

namespace {
NumericError not_decomposed(std::string_view op, const Tensor& a, std::int64_t i) {
  return NumericError("{}: matrix {} of the batch has no decomposition; got a NaN, an infinity or no convergence in {}",
                      op, i, a.str());
}

/// Singular values, and vectors when `u` is defined.
void singular_values(std::string_view op, const Tensor& a, const Tensor& u, const Tensor& s, const Tensor& vh) {
  const std::int64_t m = a.size(-2), n = a.size(-1), k = std::min(m, n);
  if (s.numel() == 0) return;
  const Matrices from(a);
  const unsigned wanted = u.defined() ? Eigen::ComputeThinU | Eigen::ComputeThinV : 0;
  const auto decompose = [&](std::int64_t i) -> std::int64_t {
    const Matrix x = from[i];
    if (!x.allFinite()) return 0;
    const Eigen::BDCSVD<Matrix> svd(x, wanted);
    if (svd.info() != Eigen::Success) return 0;
    for (std::int64_t j = 0; j < k; ++j) cpu::set_number(s, i * k + j, svd.singularValues()[j]);
    if (u.defined()) {
      Matrices(u).set(i, svd.matrixU());
      Matrices(vh).set(i, svd.matrixV().transpose());
    }
    return -1;
  };
  for_each_matrix(s.numel() / k, 10 * m * n * k, decompose,
                  [&](std::int64_t i, std::int64_t) { return not_decomposed(op, a, i); });
}

/// Eigenvalues of the symmetric part, and vectors when `v` is defined.
void eigenvalues(std::string_view op, const Tensor& a, const Tensor& w, const Tensor& v) {
  const std::int64_t n = a.size(-1);
  if (w.numel() == 0) return;
  const Matrices from(a);
  const int wanted = v.defined() ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly;
  const auto decompose = [&](std::int64_t i) -> std::int64_t {
    Matrix x = from[i];
    x = 0.5 * (x + x.transpose()).eval();
    if (!x.allFinite()) return 0;
    const Eigen::SelfAdjointEigenSolver<Matrix> eigen(x, wanted);
    if (eigen.info() != Eigen::Success) return 0;
    for (std::int64_t j = 0; j < n; ++j) cpu::set_number(w, i * n + j, eigen.eigenvalues()[j]);
    if (v.defined()) Matrices(v).set(i, eigen.eigenvectors());
    return -1;
  };
  for_each_matrix(w.numel() / n, 10 * n * n * n, decompose,
                  [&](std::int64_t i, std::int64_t) { return not_decomposed(op, a, i); });
}
}  // namespace

RETORT_CPU_KERNEL(svd) { singular_values("svd", call.in[0], call.out[0], call.out[1], call.out[2]); }
RETORT_CPU_KERNEL(svdvals) { singular_values("svdvals", call.in[0], {}, call.out[0], {}); }
RETORT_CPU_KERNEL(eigh) { eigenvalues("eigh", call.in[0], call.out[0], call.out[1]); }
RETORT_CPU_KERNEL(eigvalsh) { eigenvalues("eigvalsh", call.in[0], call.out[0], {}); }

RETORT_CPU_KERNEL(divide_by_gaps) {
  const Tensor &x = call.in[0], &s = call.in[1], &y = call.out[0];
  const bool squares = call.attrs.as<GapAttrs>().power == 2;
  const std::int64_t k = y.size(-1);
  if (y.numel() == 0) return;
  const Shape batch = cpu::batch_shape(y);
  const Matrices from(x, batch), spectrum(s, batch), to(y);
  const double epsilon =
      x.dtype() == DType::f64 ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  const auto divide = [&](std::int64_t b) -> std::int64_t {
    const Matrix values = spectrum[b], numerator = from[b];
    Matrix quotient(k, k);
    const double resolved = static_cast<double>(k) * epsilon * values.cwiseAbs().maxCoeff();
    for (Eigen::Index i = 0; i < k; ++i)
      for (Eigen::Index j = 0; j < k; ++j) {
        const double gap = values(0, j) - values(0, i);
        if (i != j && !(std::abs(gap) > resolved)) return std::min(i, j);
        const double scale = squares ? values(0, j) + values(0, i) : 1.0;
        quotient(i, j) = i == j ? 0.0 : numerator(i, j) / (gap * scale);
      }
    to.set(b, quotient);
    return -1;
  };
  for_each_matrix(batch.product(), k * k, divide, [&](std::int64_t b, std::int64_t i) {
    return NumericError(
        "divide_by_gaps: value {} of matrix {} of the batch is met by another one, so their vectors "
        "have no derivative; hint: eigvalsh and svdvals have one",
        i, b);
  });
}

}  // namespace retort
