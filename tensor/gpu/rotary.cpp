// tensor/gpu/rotary.cpp -- rotary position embedding on GPUs, on rows that lie anyhow.
#include "cuda_kernels/rotary.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

/// in: x [.., T, D], positions i64 that broadcast to x's rows.
RETORT_GPU_KERNEL(rotary) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const auto& attrs = call.attrs.as<RotaryAttrs>();
  const kernels::Type type = on_gpu::training(call, x);
  if (y.numel() == 0) return;
  const Tensor positions = on_gpu::dense(call, call.in[1]);
  const int last = x.rank() - 1;
  Shape rows = x.shape();
  rows.erase(last);
  const Layout numbers = broadcast_layout({positions.shape(), contiguous_strides(positions.shape()), 0}, rows);
  kernels::Rotary args{type,
                       on_gpu::address(x),
                       on_gpu::address(y),
                       on_gpu::address_of<std::int64_t>(positions),
                       positions.numel(),
                       x.shape()[last],
                       {},
                       {},
                       x.strides()[last],
                       y.strides()[last],
                       attrs.base,
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
