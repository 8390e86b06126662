// tensor/cpu/matrices.h -- a tensor seen as a batch of Eigen matrices, and loops over the batch. Linear algebra is
// computed in f64 whatever the dtype: f32 results are rounded once, and each decomposition is compiled once.
#pragma once
#include <vector>

#include "tensor/cpu/eigen.h"
#include "tensor/cpu/parallel.h"
#include "tensor/tensor.h"

// In force to the end of the file that includes this: g++ 12 loses track of Eigen's packet arrays where they are used.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>

namespace retort::cpu {

using Matrix = Eigen::MatrixXd;

/// The leading axes of a tensor of matrices.
inline Shape batch_shape(const Tensor& t) { return Shape(std::span(t.shape().begin(), t.shape().end() - 2)); }

/// The matrices of `t` [.., rows, cols], f32 or f64 with any strides, its leading axes broadcast to `batch`.
class Matrices {
 public:
  Matrices(const Tensor& t, const Shape& batch);
  explicit Matrices(const Tensor& t) : Matrices(t, batch_shape(t)) {}
  /// A copy of matrix i.
  Matrix operator[](std::int64_t i) const;
  void set(std::int64_t i, const Matrix& m) const;

 private:
  /// Calls f(map of matrix i in the tensor's memory).
  template <class F>
  void visit(std::int64_t i, const F& f) const;
  const Tensor& tensor_;
  Layout layout_;
};

/// Writes element i of a row-major tensor of f32 or f64.
inline void set_number(const Tensor& t, std::int64_t i, double value) {
  if (t.dtype() == DType::f64)
    t.mutable_data<double>()[i] = value;
  else
    t.mutable_data<float>()[i] = static_cast<float>(value);
}

/// Calls f(i) for each of `count` matrices, in parallel over whole matrices; `flops` is the work on one of them.
/// A matrix is never shared between threads, so the bits of the result do not depend on their number.
template <class F>
void for_each_matrix(std::int64_t count, std::int64_t flops, const F& f) {
  constexpr std::int64_t kTaskFlops = 1 << 15;
  parallel_for(count, std::max<std::int64_t>(1, kTaskFlops / std::max<std::int64_t>(1, flops)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) f(i);
               });
}

/// As for_each_matrix for an f that can fail: it returns -1 or where it failed. Throws report(i, where) for the first
/// failing matrix, whichever thread came across it.
template <class F, class Report>
void for_each_matrix(std::int64_t count, std::int64_t flops, const F& f, const Report& report) {
  std::vector<std::int64_t> failed(static_cast<std::size_t>(count));
  for_each_matrix(count, flops, [&](std::int64_t i) { failed[static_cast<std::size_t>(i)] = f(i); });
  for (std::int64_t i = 0; i < count; ++i)
    if (const std::int64_t where = failed[static_cast<std::size_t>(i)]; where >= 0) throw report(i, where);
}

}  // namespace retort::cpu
