// tensor/gpu/group_norm.cpp -- group_norm on GPUs, forward and backward, on channels-last images.
#include "cuda_kernels/group_norm.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// The image with channels innermost, a copy where it lies otherwise.
Tensor channels_last(const Call& call, const Tensor& t) {
  const Strides strides = channels_last_strides(t.shape());
  if (t.strides() == strides) return t;
  const Tensor copy = Tensor::empty(t.shape(), t.dtype(), t.device(), &strides);
  on_gpu::copy(call, t, copy);
  return copy;
}

std::int64_t pixels_of(const Tensor& x) {
  std::int64_t n = 1;
  for (int axis = 2; axis < x.rank(); ++axis) n *= x.shape()[axis];
  return n;
}
}  // namespace

/// in: x [N, C, *], weight, bias (may be absent). out: y, mean and 1 / standard deviation of every (sample, group).
RETORT_GPU_KERNEL(group_norm) {
  const auto& attrs = call.attrs.as<NormAttrs>();
  const Tensor& given = call.in[0];
  const kernels::Type type = on_gpu::training(call, given);
  const Tensor x = channels_last(call, given), weight = on_gpu::dense(call, call.in[1], DType::f32),
               bias = on_gpu::dense(call, call.in[2], DType::f32);
  kernels::group_norm(
      {type, on_gpu::address(x), on_gpu::address_of<float>(weight), on_gpu::address_of<float>(bias),
       on_gpu::address(call.out[0]), on_gpu::address_of<float>(call.out[1]), on_gpu::address_of<float>(call.out[2]),
       x.shape()[0], pixels_of(x), x.shape()[1], attrs.groups, static_cast<float>(attrs.eps)},
      call.stream);
}

/// in: x, weight, bias, mean, 1 / standard deviation, dy. out: dx, dweight, dbias, empty where they are absent.
RETORT_GPU_KERNEL(group_norm_backward) {
  const Tensor& given = call.in[0];
  const kernels::Type type = on_gpu::training(call, given);
  const Tensor x = channels_last(call, given), dy = channels_last(call, call.in[5]);
  const Tensor weight = on_gpu::dense(call, call.in[1], DType::f32), mean = on_gpu::dense(call, call.in[3]),
               rstd = on_gpu::dense(call, call.in[4]);
  const std::int64_t samples = x.shape()[0], pixels = pixels_of(x), channels = x.shape()[1];
  const Tensor scratch =
      Tensor::empty({kernels::group_norm_scratch(samples, pixels, channels)}, DType::f32, x.device());
  const on_gpu::Result dweight(call, call.out[1], -1, DType::f32), dbias(call, call.out[2], -1, DType::f32);
  kernels::group_norm_backward(
      {type, on_gpu::address(x), on_gpu::address(dy), on_gpu::address_of<float>(weight),
       on_gpu::address_of<float>(mean), on_gpu::address_of<float>(rstd), on_gpu::address(call.out[0]),
       on_gpu::address_of<float>(dweight.tensor()), on_gpu::address_of<float>(dbias.tensor()), samples, pixels,
       channels, call.attrs.as<NormAttrs>().groups, on_gpu::address_of<float>(scratch)},
      call.stream);
  dweight.finish();
  dbias.finish();
}

}  // namespace retort
