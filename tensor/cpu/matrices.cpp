#include "tensor/cpu/matrices.h"

namespace retort::cpu {

Matrices::Matrices(const Tensor& t, const Shape& batch) : tensor_(t) {
  Shape shape = batch;
  shape.push_back(t.size(-2));
  shape.push_back(t.size(-1));
  layout_ = broadcast_layout(t.layout(), shape);
}

template <class F>
void Matrices::visit(std::int64_t i, const F& f) const {
  const Shape& s = layout_.shape;
  const int r = s.rank();
  std::int64_t at = 0;
  for (int a = r - 3; a >= 0; --a) {
    at += i % s[a] * layout_.strides[a];
    i /= s[a];
  }
  const Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic> stride(layout_.strides[r - 1], layout_.strides[r - 2]);
  const auto map = [&]<class T>(T* first) {
    using M = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
    f(Eigen::Map<M, Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>(first + at, s[r - 2], s[r - 1],
                                                                                     stride));
  };
  if (tensor_.dtype() == DType::f64)
    map(tensor_.mutable_data<double>());
  else
    map(tensor_.mutable_data<float>());
}

Matrix Matrices::operator[](std::int64_t i) const {
  Matrix m;
  visit(i, [&](const auto& map) { m = map.template cast<double>(); });
  return m;
}

void Matrices::set(std::int64_t i, const Matrix& m) const {
  visit(i, [&](auto map) { map = m.cast<typename decltype(map)::Scalar>(); });
}

}  // namespace retort::cpu
