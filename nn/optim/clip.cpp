#include "nn/optim/clip.h"

#include <cmath>

#include "tensor/primitive.h"
#include "tensor/write.h"

namespace retort {

namespace {
const Primitive kSumOfSquares("sum_of_squares");
}

double grad_norm(std::span<const Tensor> grads) {
  double total = 0;
  for (const Tensor& g : grads) {
    if (!is_float(g.dtype())) throw DTypeError("grad_norm: gradients are float tensors; got {}", g.str());
    if (g.meta()) continue;
    const Tensor in = g.unlifted(), sum = Tensor::zeros({1}, DType::f64, g.device());
    run_kernel(kSumOfSquares, std::span(&in, 1), {}, std::span(&sum, 1));
    total += sum.item();
  }
  return std::sqrt(total);
}

double clip_grad_norm(std::span<const Tensor> grads, double max_norm) {
  if (!(max_norm > 0)) throw ValueError("clip_grad_norm: the largest norm is positive; got {}", max_norm);
  const double norm = grad_norm(grads);
  if (std::isfinite(norm) && norm > max_norm)
    for (const Tensor& g : grads) scale_(g, max_norm / norm);
  return norm;
}

}  // namespace retort
