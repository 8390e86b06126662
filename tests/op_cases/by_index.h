// tests/op_cases/by_index.h -- references for ops that rearrange elements, written as functions of logical indices.
#pragma once
#include "tests/op_case.h"

namespace retort::testing {

/// A tensor of `shape` whose element at a logical index is value(index).
inline Tensor by_index(const Shape& shape, const std::function<double(const Dims&)>& value) {
  std::vector<double> out;
  Dims at = Dims::filled(shape.rank(), 0);
  for (std::int64_t i = 0; i < shape.product(); ++i) {
    out.push_back(value(at));
    for (int a = shape.rank() - 1; a >= 0; --a) {
      if (++at[a] < shape[a]) break;
      at[a] = 0;
    }
  }
  return Tensor::from(out, shape, DType::f64);
}
inline double element(const Tensor& x, const Dims& at) {
  Layout one{{}, {}, x.layout().offset};
  for (int a = 0; a < x.rank(); ++a) one.offset += at[a] * x.layout().strides[a];
  return x.view(one).item();
}

}  // namespace retort::testing
