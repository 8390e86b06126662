// tensor/gpu/rotary.cpp -- rotary position embedding on GPUs, on rows that lie anyhow.
#include "cuda_kernels/rotary.h"

#include "tensor/gpu/kernel.h"
#include "tensor/rotary_attrs.h"
#include "tensor/transfer.h"

namespace retort {

/// in: x [.., T, D], positions i64 that broadcast to x's rows.
RETORT_GPU_KERNEL(rotary) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto& attrs = call.attrs.as<RotaryRates>();
  const kernels::Type type = on_gpu::training(call, x);
  if (y.numel() == 0) return;
  const std::vector<double> angles = rates_of(attrs, x.shape()[x.rank() - 1]);
  const auto pairs = static_cast<std::int64_t>(angles.size());
  const Tensor rates = to(Tensor::from(angles, {pairs}, DType::f64), x.device());
  const Tensor positions = on_gpu::dense(call, call.in[1]);
  const int last = x.rank() - 1;
  Shape rows = x.shape();
  rows.erase(last);
  const Layout numbers = broadcast_layout({positions.shape(), contiguous_strides(positions.shape()), 0}, rows);
  kernels::Rotary args{type,
                       on_gpu::address(x),
                       on_gpu::address(y),
                       on_gpu::address_of<std::int64_t>(positions),
                       on_gpu::address_of<double>(rates),
                       positions.numel(),
                       x.shape()[last],
                       pairs,
                       {},
                       {},
                       x.strides()[last],
                       y.strides()[last],
                       attrs.interleaved,
                       attrs.inverse,
                       reinterpret_cast<float*>(call.scratch)};
  args.rows.rank = last;
  for (int axis = 0; axis < last; ++axis) {
    args.rows.extent[axis] = x.shape()[axis];
    args.rows.first[axis] = x.strides()[axis];
    args.rows.second[axis] = y.strides()[axis];
    args.position[axis] = numbers.strides[axis];
  }
  kernels::rotary(args, call.stream);
}

}  // namespace retort
