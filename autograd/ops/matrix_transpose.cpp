// autograd/ops/matrix_transpose.cpp -- the last two axes swapped.
#include "autograd/ops/linalg.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct MatrixTranspose : Linear<MatrixTranspose> {
  static constexpr std::string_view name = "matrix_transpose";
  static Tensor view(const Tensor& x, const AttrBox&) {
    const int r = x.rank();
    if (r < 2) throw ShapeError("matrix_transpose: the input must be a matrix or a batch of them; got {}", x.str());
    Layout layout = x.layout();
    std::swap(layout.shape[r - 2], layout.shape[r - 1]);
    std::swap(layout.strides[r - 2], layout.strides[r - 1]);
    return x.view(layout);
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall&) { return matrix_transpose(cot); }
};
REGISTER_OP(MatrixTranspose);
}  // namespace

Tensor matrix_transpose(const Tensor& x) { return apply<MatrixTranspose>(x); }

}  // namespace retort
