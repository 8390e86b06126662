// tensor/gpu/loss.cpp -- losses over rows of logits on GPUs: cross entropy against labels and weights.
#include "cuda_kernels/loss.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

std::int64_t rows_of(const Tensor& logits) { return logits.numel() / logits.shape().back(); }
}  // namespace

/// in: logits, labels. out: loss, largest logit and log sum of every row.
RETORT_GPU_KERNEL(cross_entropy) {
  const auto& attrs = call.attrs.as<CrossEntropyAttrs>();
  const Tensor &logits = call.in[0], &labels = call.in[1];
  const kernels::Type type = on_gpu::training(call, logits);
  if (labels.numel() == 0) return;
  const std::int64_t classes = logits.shape().back();
  on_gpu::check_indices(call, labels, classes, attrs.ignore_index);
  const Tensor x = on_gpu::dense(call, logits), y = on_gpu::dense(call, labels);
  kernels::cross_entropy(
      {type, on_gpu::address(x), on_gpu::address_of<std::int64_t>(y), on_gpu::address_of<float>(call.out[0]),
       on_gpu::address_of<float>(call.out[1]), on_gpu::address_of<float>(call.out[2]), rows_of(logits), classes,
       static_cast<float>(attrs.label_smoothing), attrs.ignore_index},
      call.stream);
}

/// in: logits, labels, largest logits, log sums, cotangent.
RETORT_GPU_KERNEL(cross_entropy_backward) {
  const auto& attrs = call.attrs.as<CrossEntropyAttrs>();
  const Tensor& logits = call.in[0];
  const kernels::Type type = on_gpu::training(call, logits);
  if (logits.numel() == 0) return;
  Tensor in[5];
  for (std::size_t i = 0; i < 5; ++i) in[i] = on_gpu::dense(call, call.in[i]);
  const on_gpu::Result gradient(call, call.out[0]);
  kernels::cross_entropy_backward(
      {type, on_gpu::address(in[0]), on_gpu::address_of<std::int64_t>(in[1]), on_gpu::address_of<float>(in[2]),
       on_gpu::address_of<float>(in[3]), on_gpu::address_of<float>(in[4]), gradient.data(), rows_of(logits),
       logits.shape().back(), static_cast<float>(attrs.label_smoothing), attrs.ignore_index},
      call.stream);
  gradient.finish();
}

/// in: logits, targets.
RETORT_GPU_KERNEL(soft_cross_entropy) {
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  if (call.in[0].numel() == 0) return;
  const Tensor x = on_gpu::dense(call, call.in[0]), q = on_gpu::dense(call, call.in[1]);
  kernels::soft_cross_entropy({type, on_gpu::address(x), on_gpu::address(q), on_gpu::address_of<float>(call.out[0]),
                               rows_of(x), x.shape().back()},
                              call.stream);
}

/// in: logits, targets, cotangent.
RETORT_GPU_KERNEL(soft_cross_entropy_backward) {
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  if (call.in[0].numel() == 0) return;
  const Tensor x = on_gpu::dense(call, call.in[0]), q = on_gpu::dense(call, call.in[1]),
               cotangent = on_gpu::dense(call, call.in[2]);
  const on_gpu::Result gradient(call, call.out[0]);
  kernels::soft_cross_entropy_backward(
      {type, on_gpu::address(x), on_gpu::address(q), on_gpu::address_of<float>(cotangent), gradient.data(), rows_of(x),
       x.shape().back()},
      call.stream);
  gradient.finish();
}

}  // namespace retort
