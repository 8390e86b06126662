// tensor/gpu/row_norm.cpp -- layer_norm and rms_norm on GPUs, forward and backward.
#include "cuda_kernels/norm.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// in: x, weight, bias (layer_norm). out: y, mean (layer_norm), rstd; parameters may be absent.
void forward(const Call& call, bool centred) {
  const Tensor &x = call.in[0], &rstd = call.out.back();
  const kernels::Type type = on_gpu::training(call, x);
  const Tensor rows = on_gpu::dense(call, x), weight = on_gpu::dense(call, call.in[1], DType::f32);
  const Tensor bias = centred ? on_gpu::dense(call, call.in[2], DType::f32) : Tensor();
  const on_gpu::Result y(call, call.out[0]);
  if (x.numel() > 0) {
    const kernels::Norm args{type,
                             on_gpu::address(rows),
                             on_gpu::address_of<float>(weight),
                             on_gpu::address_of<float>(bias),
                             y.data(),
                             centred ? on_gpu::address_of<float>(call.out[1]) : nullptr,
                             on_gpu::address_of<float>(rstd),
                             rstd.numel(),
                             x.shape().back(),
                             static_cast<float>(call.attrs.as<NormAttrs>().eps)};
    centred ? kernels::layer_norm(args, call.stream) : kernels::rms_norm(args, call.stream);
  }
  y.finish();
}

/// in: x, weight, bias and mean (layer_norm), rstd, dy. out: dx, dweight, dbias (layer_norm).
void backward(const Call& call, bool centred) {
  const Tensor &x = call.in[0], &rstd = call.in[call.in.size() - 2];
  const kernels::Type type = on_gpu::training(call, x);
  const std::int64_t rows = rstd.numel(), columns = x.shape().back();
  const Tensor px = on_gpu::dense(call, x), dy = on_gpu::dense(call, call.in.back());
  const Tensor weight = on_gpu::dense(call, call.in[1], DType::f32), rstds = on_gpu::dense(call, rstd);
  const Tensor mean = centred ? on_gpu::dense(call, call.in[3]) : Tensor();
  const Tensor scratch = Tensor::empty({kernels::norm_scratch(rows, columns)}, DType::f32, x.device());
  const on_gpu::Result dx(call, call.out[0]);
  // Gradients that nobody wants have no elements.
  std::vector<on_gpu::Result> parameters;
  for (std::size_t k = 1; k < call.out.size(); ++k) parameters.emplace_back(call, call.out[k], -1, DType::f32);
  const auto target = [&](std::size_t k) {
    return k < parameters.size() ? on_gpu::address_of<float>(parameters[k].tensor()) : nullptr;
  };
  const kernels::NormBackward args{type,
                                   on_gpu::address(px),
                                   on_gpu::address(dy),
                                   on_gpu::address_of<float>(weight),
                                   on_gpu::address_of<float>(mean),
                                   on_gpu::address_of<float>(rstds),
                                   dx.data(),
                                   target(0),
                                   target(1),
                                   rows,
                                   columns,
                                   on_gpu::address_of<float>(scratch)};
  centred ? kernels::layer_norm_backward(args, call.stream) : kernels::rms_norm_backward(args, call.stream);
  dx.finish();
  for (const on_gpu::Result& p : parameters) p.finish();
}
}  // namespace

RETORT_GPU_KERNEL(layer_norm) { forward(call, true); }
RETORT_GPU_KERNEL(rms_norm) { forward(call, false); }
RETORT_GPU_KERNEL(layer_norm_backward) { backward(call, true); }
RETORT_GPU_KERNEL(rms_norm_backward) { backward(call, false); }

}  // namespace retort
