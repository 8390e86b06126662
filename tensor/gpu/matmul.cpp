// tensor/gpu/matmul.cpp -- matmul and linear on GPUs, by the GEMM kernels: a launch for each matrix of a batch.
#include "cuda_kernels/gemm.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

kernels::Type product_type(const Call& call, const Tensor& t) {
  return t.dtype() == DType::f16 ? kernels::Type::f16 : on_gpu::training(call, t);
}

/// Element offsets of the matrices that `t` brings to a batch of `shape`.
std::vector<std::int64_t> matrices(const Tensor& t, const Shape& batch) {
  Layout layout{t.shape(), t.strides(), 0};
  for (int i = 0; i < 2; ++i) {
    layout.shape.erase(layout.shape.rank() - 1);
    layout.strides.erase(layout.strides.rank() - 1);
  }
  std::vector<std::int64_t> offsets;
  for_each_offset(broadcast_layout(layout, batch), [&](std::int64_t o) { offsets.push_back(o); });
  return offsets;
}
}  // namespace

RETORT_GPU_KERNEL(matmul) {
  const Tensor &a = call.in[0], &b = call.in[1], &c = call.out[0];
  const kernels::Type type = product_type(call, a);
  if (c.numel() == 0) return;
  const auto& t = call.attrs.as<MatmulAttrs>();
  const int row_a = a.rank() - (t.transpose_a ? 1 : 2), column_a = a.rank() - (t.transpose_a ? 2 : 1);
  const int row_b = b.rank() - (t.transpose_b ? 1 : 2), column_b = b.rank() - (t.transpose_b ? 2 : 1);
  Shape batch = c.shape();
  batch.erase(c.rank() - 1);
  batch.erase(c.rank() - 2);
  const auto at_a = matrices(a, batch), at_b = matrices(b, batch), at_c = matrices(c, batch);
  const std::int64_t size = size_of(a.dtype());
  for (std::size_t i = 0; i < at_c.size(); ++i)
    kernels::gemm({type, on_gpu::address(a) + at_a[i] * size, on_gpu::address(b) + at_b[i] * size, a.strides()[row_a],
                   a.strides()[column_a], b.strides()[row_b], b.strides()[column_b], nullptr,
                   on_gpu::address(c) + at_c[i] * size, c.shape()[c.rank() - 2], c.shape().back(), a.shape()[column_a]},
                  call.stream);
}

RETORT_GPU_KERNEL(linear) {
  const Tensor &x = call.in[0], &w = call.in[1], &y = call.out[0];
  const kernels::Type type = product_type(call, x);
  const Tensor bias = on_gpu::dense(call, call.in[2], DType::f32);
  kernels::gemm(
      {type, on_gpu::address(x), on_gpu::address(w), x.strides()[0], x.strides()[1], w.strides()[1], w.strides()[0],
       on_gpu::address_of<float>(bias), on_gpu::address(y), y.shape()[0], y.shape()[1], x.shape()[1]},
      call.stream);
}

}  // namespace retort
