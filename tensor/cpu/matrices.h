// tensor/cpu/matrices.h -- a tensor seen as a batch of Eigen matrices, and loops over the batch.
#pragma once
#include <vector>

#include "tensor/cpu/eigen.h"
#include "tensor/cpu/parallel.h"
#include "tensor/tensor.h"

namespace retort::cpu {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

/// The leading axes of a tensor of matrices.
inline Shape batch_shape(const Tensor& t) { return Shape(std::span(t.shape().begin(), t.shape().end() - 2)); }

/// The matrices of `t` [.., rows, cols] with any strides, its leading axes broadcast to `batch`. Views, not copies.
template <class T>
class Matrices {
 public:
  using View = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
  Matrices(const Tensor& t, const Shape& batch) : first_(t.mutable_data<T>()) {
    Shape shape = batch;
    shape.push_back(t.size(-2));
    shape.push_back(t.size(-1));
    layout_ = broadcast_layout(t.layout(), shape);
  }
  explicit Matrices(const Tensor& t) : Matrices(t, batch_shape(t)) {}

  View operator[](std::int64_t i) const {
    const Shape& s = layout_.shape;
    const int r = s.rank();
    std::int64_t at = 0;
    for (int a = r - 3; a >= 0; --a) {
      at += i % s[a] * layout_.strides[a];
      i /= s[a];
    }
    return View(first_ + at, s[r - 2], s[r - 1], {layout_.strides[r - 1], layout_.strides[r - 2]});
  }

 private:
  T* first_;
  Layout layout_;
};

/// Calls f(T{}) with float or double; the shape functions have refused everything else.
template <class F>
void visit_f32_f64(DType t, F&& f) {
  if (t == DType::f64)
    f(double{});
  else
    f(float{});
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
