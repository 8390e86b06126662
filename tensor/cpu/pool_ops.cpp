// tensor/cpu/pool_ops.cpp -- CPU kernels of the pooling ops over tensor/cpu/pool.h. All operands arrive with channels
// innermost.
#include "tensor/attrs.h"
#include "tensor/cpu/pool.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
/// `image` is any tensor with the batch and channels of the call; the spatial extents are in the attributes.
cpu::PoolShape pool_shape(const KernelCall& call) {
  const auto& a = call.attrs.as<Pool2dAttrs>();
  const Shape& image = call.in[0].shape();
  return {image[0],   image[1],   a.size_h, a.size_w, a.kernel_h,   a.kernel_w,
          a.stride_h, a.stride_w, a.pad_h,  a.pad_w,  a.adaptive_h, a.adaptive_w};
}
}  // namespace

RETORT_CPU_KERNEL(max_pool2d) {
  const Tensor &x = call.in[0], &y = call.out[0], &argmax = call.out[1];
  if (y.numel() == 0) return;
  visit_float(x.dtype(), [&]<class T>(T) {
    cpu::max_pool_forward<T>(pool_shape(call), x.data<T>(), y.mutable_data<T>(), argmax.mutable_data<std::int32_t>());
  });
}

RETORT_CPU_KERNEL(max_pool2d_grad) {
  const Tensor &cot = call.in[0], &argmax = call.in[1], &dx = call.out[0];
  if (dx.numel() == 0) return;
  visit_float(cot.dtype(), [&]<class T>(T) {
    cpu::max_pool_backward<T>(pool_shape(call), cot.data<T>(), argmax.data<std::int32_t>(), dx.mutable_data<T>());
  });
}

RETORT_CPU_KERNEL(max_pool2d_gather) {
  const Tensor &x = call.in[0], &argmax = call.in[1], &y = call.out[0];
  if (y.numel() == 0) return;
  visit_float(x.dtype(), [&]<class T>(T) {
    cpu::max_pool_gather<T>(pool_shape(call), x.data<T>(), argmax.data<std::int32_t>(), y.mutable_data<T>());
  });
}

RETORT_CPU_KERNEL(avg_pool2d) {
  const Tensor &x = call.in[0], &y = call.out[0];
  if (y.numel() == 0) return;
  visit_float(x.dtype(), [&]<class T>(T) {
    cpu::avg_pool_forward<T>(pool_shape(call), call.attrs.as<Pool2dAttrs>().count_include_pad, x.data<T>(),
                             y.mutable_data<T>());
  });
}

RETORT_CPU_KERNEL(avg_pool2d_grad) {
  const Tensor &cot = call.in[0], &dx = call.out[0];
  if (dx.numel() == 0) return;
  visit_float(cot.dtype(), [&]<class T>(T) {
    cpu::avg_pool_backward<T>(pool_shape(call), call.attrs.as<Pool2dAttrs>().count_include_pad, cot.data<T>(),
                              dx.mutable_data<T>());
  });
}

}  // namespace retort
