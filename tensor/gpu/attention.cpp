// tensor/gpu/attention.cpp -- attention on GPUs, forward and backward, on heads that lie anyhow.
#include "cuda_kernels/attention.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

kernels::HeadSteps steps_of(const Strides& s) { return {s[0], s[1], s[2], s[3]}; }
kernels::HeadSteps steps_of(const Tensor& t) { return steps_of(t.strides()); }

/// q, k, v and the mask; `mask` becomes what must outlive the launch. Results are left open.
kernels::Attention operands(const Call& call, Tensor& mask) {
  const Tensor &q = call.in[0], &k = call.in[1], &v = call.in[2];
  const auto& attrs = call.attrs.as<AttentionAttrs>();
  kernels::Attention a{};
  a.type = on_gpu::training(call, q);
  a.shape = {q.shape()[0], q.shape()[1], k.shape()[1], q.shape()[2],
             k.shape()[2], q.shape()[3], v.shape()[3], static_cast<float>(attrs.scale),
             attrs.causal, attrs.window};
  a.q = on_gpu::address(q);
  a.k = on_gpu::address(k);
  a.v = on_gpu::address(v);
  a.q_steps = steps_of(q);
  a.k_steps = steps_of(k);
  a.v_steps = steps_of(v);
  mask = call.in[3];
  if (!mask.defined()) return a;
  if (mask.dtype() == DType::boolean) {
    a.visible = on_gpu::address_of<bool>(mask);
  } else {
    if (mask.dtype() != DType::f32) mask = on_gpu::dense(call, mask, DType::f32);
    a.bias = on_gpu::address_of<float>(mask);
  }
  a.mask_steps = steps_of(
      broadcast_layout({mask.shape(), mask.strides(), 0}, {a.shape.batch, a.shape.heads, a.shape.queries, a.shape.keys})
          .strides);
  return a;
}
}  // namespace

/// in: q, k, v, mask (may be absent). out: y, log-sums.
RETORT_GPU_KERNEL(attention) {
  Tensor mask;
  kernels::Attention a = operands(call, mask);
  a.y = on_gpu::address(call.out[0]);
  a.y_steps = steps_of(call.out[0]);
  a.log_sums = on_gpu::address_of<float>(call.out[1]);
  kernels::attention(a, call.stream);
}

/// in: q, k, v, mask, log-sums, y, dy. out: dq, dk, dv.
RETORT_GPU_KERNEL(attention_backward) {
  Tensor mask;
  const Tensor log_sums = on_gpu::dense(call, call.in[4]), &y = call.in[5], &dy = call.in[6];
  kernels::AttentionBackward a{};
  a.forward = operands(call, mask);
  a.forward.y = on_gpu::address(y);
  a.forward.y_steps = steps_of(y);
  a.forward.log_sums = on_gpu::address_of<float>(log_sums);
  a.dy = on_gpu::address(dy);
  a.dy_steps = steps_of(dy);
  a.inner = reinterpret_cast<float*>(call.scratch);
  a.dq = on_gpu::address(call.out[0]);
  a.dk = on_gpu::address(call.out[1]);
  a.dv = on_gpu::address(call.out[2]);
  a.dq_steps = steps_of(call.out[0]);
  a.dk_steps = steps_of(call.out[1]);
  a.dv_steps = steps_of(call.out[2]);
  kernels::attention_backward(a, call.stream);
}

}  // namespace retort
