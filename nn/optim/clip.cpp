#include "nn/optim/clip.h"

#include <cmath>

#include "tensor/primitive.h"
#include "tensor/transfer.h"
#include "tensor/write.h"

namespace retort {

namespace {
const Primitive kInnerProduct("inner_product");

/// Into one element of `sum`, f64 on the tensors' device.
void inner_product_into(const Tensor& sum, const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape()) || a.dtype() != b.dtype() || !is_float(a.dtype()))
    throw ShapeError("inner_product: expected two float tensors of one shape and dtype; got {} and {}", a.str(),
                     b.str());
  const Tensor x = a.unlifted(), y = b.unlifted();
  const bool alike = x.strides() == y.strides();
  const Tensor in[] = {alike ? x : copy_of(x), alike ? y : copy_of(y)};
  run_kernel(kInnerProduct, in, {}, std::span(&sum, 1));
}
}  // namespace

double grad_norm(std::span<const Tensor> grads) {
  for (const Tensor& g : grads)
    if (!is_float(g.dtype())) throw DTypeError("grad_norm: gradients are float tensors; got {}", g.str());
  if (grads.empty() || grads[0].meta()) return 0;
  // All products first: a device is waited for once.
  const Tensor sums = Tensor::zeros({static_cast<std::int64_t>(grads.size())}, DType::f64, grads[0].device());
  for (std::size_t i = 0; i < grads.size(); ++i)
    inner_product_into(sums.view({{1}, {1}, static_cast<std::int64_t>(i)}), grads[i], grads[i]);
  double total = 0;
  for (const double squares : to(sums, kCpu).values()) total += squares;
  return std::sqrt(total);
}

double inner_product(const Tensor& a, const Tensor& b) {
  const Tensor sum = Tensor::zeros({1}, DType::f64, a.device());
  inner_product_into(sum, a, b);
  return to(sum, kCpu).item();
}

double clip_grad_norm(std::span<const Tensor> grads, double max_norm) {
  if (!(max_norm > 0)) throw ValueError("clip_grad_norm: the largest norm is positive; got {}", max_norm);
  const double norm = grad_norm(grads);
  if (std::isfinite(norm) && norm > max_norm)
    for (const Tensor& g : grads) scale_(g, max_norm / norm);
  return norm;
}

}  // namespace retort
