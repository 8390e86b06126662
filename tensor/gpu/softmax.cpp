// tensor/gpu/softmax.cpp -- softmax and log_softmax on GPUs, along any axis.
#include "cuda_kernels/softmax.h"

#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

void forward(const Call& call, bool log) {
  const int axis = call.attrs.as<int>();
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const Tensor x = on_gpu::dense_rows(call, call.in[0], axis);
  const on_gpu::Result y(call, call.out[0], axis);
  const std::int64_t columns = x.shape().back();
  if (columns > 0)
    kernels::softmax({type, on_gpu::address(x), y.data(), x.numel() / columns, columns, log}, call.stream);
  y.finish();
}

void backward(const Call& call, bool log) {
  const int axis = call.attrs.as<int>();
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const Tensor y = on_gpu::dense_rows(call, call.in[0], axis), dy = on_gpu::dense_rows(call, call.in[1], axis);
  const on_gpu::Result dx(call, call.out[0], axis);
  const std::int64_t columns = y.shape().back();
  if (columns > 0)
    kernels::softmax_backward(
        {type, on_gpu::address(y), on_gpu::address(dy), dx.data(), y.numel() / columns, columns, log}, call.stream);
  dx.finish();
}
}  // namespace

RETORT_GPU_KERNEL(softmax) { forward(call, false); }
RETORT_GPU_KERNEL(log_softmax) { forward(call, true); }
RETORT_GPU_KERNEL(softmax_backward) { backward(call, false); }
RETORT_GPU_KERNEL(log_softmax_backward) { backward(call, true); }

}  // namespace retort
