// tensor/gpu/sinkhorn.cpp -- entropic transport on GPUs, f32.
#include "cuda_kernels/sinkhorn.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// in: costs [.., n, m], weights of rows and columns. out: plans.
void transport(const Call& call) {
  const auto& attrs = call.attrs.as<SinkhornAttrs>();
  if (call.in[0].dtype() != DType::f32)
    throw DTypeError("{}: no kernel for this element type on GPUs; got {}; hint: f32", call.op, call.in[0].str());
  if (call.out[0].numel() == 0) return;
  const Tensor cost = on_gpu::dense(call, call.in[0]), rows = on_gpu::dense(call, call.in[1]),
               columns = on_gpu::dense(call, call.in[2]);
  float* const f = reinterpret_cast<float*>(call.scratch);
  const std::int64_t n = cost.size(-2), m = cost.size(-1);
  kernels::sinkhorn({on_gpu::address_of<float>(cost), on_gpu::address_of<float>(rows),
                     on_gpu::address_of<float>(columns), on_gpu::address_of<float>(call.out[0]), f, f + rows.numel(),
                     cost.numel() / (n * m), n, m, static_cast<float>(attrs.epsilon), attrs.iterations},
                    call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(sinkhorn) { transport(call); }
RETORT_GPU_KERNEL(sinkhorn_implicit) { transport(call); }

}  // namespace retort
