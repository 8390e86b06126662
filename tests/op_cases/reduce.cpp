// tests/op_cases/reduce.cpp -- sum and what is made from it.
#include "autograd/ops/reduce.h"

#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Sum over the axes in `mask` by plain loops.
Function naive_sum(std::uint32_t mask) {
  return [mask](In in) {
    Shape shape;
    for (int a = 0; a < in[0].rank(); ++a)
      if (!(mask >> a & 1u)) shape.push_back(in[0].shape()[a]);
    std::vector<double> out(static_cast<std::size_t>(shape.product()), 0.0);
    const Strides in_strides = contiguous_strides(in[0].shape()), out_strides = contiguous_strides(shape);
    const auto v = in[0].values();
    for (std::size_t i = 0; i < v.size(); ++i) {
      std::int64_t at = 0, rest = static_cast<std::int64_t>(i);
      for (int a = 0, k = 0; a < in[0].rank(); ++a) {
        const std::int64_t index = rest / in_strides[a];
        rest %= in_strides[a];
        if (!(mask >> a & 1u)) at += index * out_strides[k++];
      }
      out[static_cast<std::size_t>(at)] += v[i];
    }
    return Tensors{Tensor::from(out, shape, DType::f64)};
  };
}
Sample sum_sample(const Shape& shape, std::uint32_t mask, Axes axes) {
  const std::vector<int> list(axes);
  return {{randn(shape)},
          [list](In in) {
            if (list.size() == 1) return Tensors{sum(in[0], {list[0]})};
            if (list.size() == 2) return Tensors{sum(in[0], {list[0], list[1]})};
            return Tensors{sum(in[0])};
          },
          naive_sum(mask)};
}
}  // namespace

OP_CASE(sum) {
  c.order = 2;
  c.samples = {sum_sample({2, 3}, 2, {1}),
               sum_sample({2, 3}, 1, {0}),
               sum_sample({4, 0}, 2, {1}),
               sum_sample({}, 0, {}),
               sum_sample({3, 70001}, 3, {}),
               sum_sample({3, 4, 5}, 5, {0, 2}),
               sum_sample({2, 3, 17, 19}, 12, {-2, -1}),
               sum_sample({700, 33}, 1, {0})};
  c.errors = {{"sum: axis 2 is outside a tensor of rank 2", [] { sum(randn({2, 3}), {2}); }}};
}
