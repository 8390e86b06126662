#include "nn/optim/clip.h"

#include <cmath>

#include "tensor/primitive.h"
#include "tensor/write.h"

namespace retort {

namespace {
const Primitive kInnerProduct("inner_product");
}

double grad_norm(std::span<const Tensor> grads) {
  double total = 0;
  for (const Tensor& g : grads) {
    if (!is_float(g.dtype())) throw DTypeError("grad_norm: gradients are float tensors; got {}", g.str());
    if (g.meta()) continue;
    total += inner_product(g, g);
  }
  return std::sqrt(total);
}

double inner_product(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype() || !is_float(a.dtype()))
    throw ShapeError("inner_product: expected two float tensors of one shape and dtype; got {} and {}", a.str(),
                     b.str());
  const Tensor x = a.unlifted(), y = b.unlifted(), sum = Tensor::zeros({1}, DType::f64, a.device());
  const bool alike = x.strides() == y.strides();
  const Tensor in[] = {alike ? x : copy_of(x), alike ? y : copy_of(y)};
  run_kernel(kInnerProduct, in, {}, std::span(&sum, 1));
  return sum.item();
}

double clip_grad_norm(std::span<const Tensor> grads, double max_norm) {
  if (!(max_norm > 0)) throw ValueError("clip_grad_norm: the largest norm is positive; got {}", max_norm);
  const double norm = grad_norm(grads);
  if (std::isfinite(norm) && norm > max_norm)
    for (const Tensor& g : grads) scale_(g, max_norm / norm);
  return norm;
}

}  // namespace retort
