// tensor/gpu/distance.cpp -- distances between all rows of two sets of points on GPUs, f32.
#include "cuda_kernels/distance.h"

#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

void require_f32(const Call& call) {
  if (call.in[0].dtype() != DType::f32)
    throw DTypeError("{}: no kernel for this element type on GPUs; got {}; hint: f32", call.op, call.in[0].str());
}

std::int64_t batches_of(const Tensor& t) {
  std::int64_t n = 1;
  for (int axis = 0; axis < t.rank() - 2; ++axis) n *= t.shape()[axis];
  return n;
}

void distances(const Call& call, bool absolute) {
  require_f32(call);
  const Tensor a = on_gpu::dense(call, call.in[0]), b = on_gpu::dense(call, call.in[1]);
  kernels::distance({on_gpu::address_of<float>(a), on_gpu::address_of<float>(b), on_gpu::address_of<float>(call.out[0]),
                     batches_of(a), a.size(-2), b.size(-2), a.size(-1), absolute},
                    call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(squared_distance) { distances(call, false); }
RETORT_GPU_KERNEL(l1_distance) { distances(call, true); }

/// in: a, b, cotangent. out: da, db.
RETORT_GPU_KERNEL(l1_distance_backward) {
  require_f32(call);
  Tensor in[3];
  for (std::size_t i = 0; i < 3; ++i) in[i] = on_gpu::dense(call, call.in[i]);
  const float *const a = on_gpu::address_of<float>(in[0]), *const b = on_gpu::address_of<float>(in[1]),
                     *const g = on_gpu::address_of<float>(in[2]);
  const std::int64_t batches = batches_of(in[0]), n = in[0].size(-2), m = in[1].size(-2), d = in[0].size(-1);
  kernels::absolute_distance_backward({a, b, g, on_gpu::address_of<float>(call.out[0]), batches, n, m, d, m, 1},
                                      call.stream);
  kernels::absolute_distance_backward({b, a, g, on_gpu::address_of<float>(call.out[1]), batches, m, n, d, 1, m},
                                      call.stream);
}

}  // namespace retort
