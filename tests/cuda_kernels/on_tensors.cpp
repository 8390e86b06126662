// tests/cuda_kernels/on_tensors.cpp -- tensors to the emulated device and back.
#include "tests/cuda_kernels/on_tensors.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/tape.h"
#include "tensor/random.h"

namespace retort::kernel_test {

kernels::Type type_of(DType t) { return static_cast<kernels::Type>(t); }

std::byte* upload_tensor(gpu::Stream stream, const Tensor& x) {
  if (!x.defined()) return nullptr;
  const auto bytes = static_cast<std::size_t>(x.numel() * size_of(x.dtype()));
  return upload(stream, std::vector<std::byte>(x.raw(), x.raw() + bytes));
}
std::byte* room_like(gpu::Stream stream, const Shape& shape, DType dtype) {
  return room_for<std::byte>(stream, static_cast<std::size_t>(shape.product() * size_of(dtype)));
}
Tensor download_tensor(gpu::Stream stream, const void* p, const Shape& shape, DType dtype) {
  Tensor t = Tensor::empty(shape, dtype);
  const auto bytes =
      download(stream, static_cast<const std::byte*>(p), static_cast<std::size_t>(t.numel() * size_of(dtype)));
  if (!bytes.empty()) std::memcpy(t.raw(), bytes.data(), bytes.size());
  return t;
}

Tensor sample(const Shape& shape, DType dtype, std::uint32_t which, double spread) {
  return cast(normal(shape, Rng(5).stream("kernel_test", which)) * spread, dtype);
}
Tensor whole_numbers(const Shape& shape, DType dtype, std::uint32_t which) {
  return cast(retort::floor(uniform(shape, Rng(6).stream("kernel_test", which)) * 9.0) - 4.0, dtype);
}

bool same_values(const Tensor& a, const Tensor& b) {
  const auto x = a.values(), y = b.values();
  if (x.size() != y.size()) return false;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i])))) return false;
  return true;
}
double distance(const Tensor& a, const Tensor& b) {
  const auto x = a.values(), y = b.values();
  double gap = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    gap += (x.at(i) - y[i]) * (x.at(i) - y[i]);
    size += y[i] * y[i];
  }
  return std::sqrt(gap) / std::sqrt(size > 0 ? size : 1);
}

std::vector<Tensor> gradients_of(const std::function<Tensor(const std::vector<Tensor>&)>& f, std::vector<Tensor> inputs,
                                 const Tensor& cotangent) {
  Tape tape;
  for (Tensor& x : inputs) x = tape.watch(x);
  const Tensor y = f(inputs);
  return tape.gradients(sum(y * cotangent), inputs);
}

}  // namespace retort::kernel_test
