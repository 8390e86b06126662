// tensor/cpu/conv_ops.cpp -- CPU kernels of conv and its adjoints over tensor/cpu/conv.h. All operands arrive with
// channels innermost.
#include "tensor/attrs.h"
#include "tensor/cpu/conv.h"
#include "tensor/primitive.h"
#include "tensor/write.h"

namespace retort {

namespace {
cpu::ConvShape conv_shape(const Shape& x, const Shape& w, const ConvAttrs& a) {
  cpu::ConvShape s{x[0], x[1], w[0], {}, {}, {}, a.groups};
  cpu::ConvAxis* const axes[] = {&s.d, &s.h, &s.w};
  const int missing = 5 - x.rank();
  for (int i = 0; i + 2 < x.rank(); ++i)
    *axes[missing + i] = {x[i + 2], w[i + 2], a.stride[i], a.padding[i], a.dilation[i]};
  return s;
}
}  // namespace

RETORT_CPU_KERNEL(conv) {
  const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const auto shape = conv_shape(x.shape(), w.shape(), call.attrs.as<ConvAttrs>());
  if (y.numel() == 0) return;
  visit_float(x.dtype(), [&]<class T>(T) {
    const Tensor flat = bias.defined() && !bias.layout().contiguous() ? copy_of(bias) : bias;
    cpu::conv_forward<T>(shape, x.data<T>(), w.data<T>(), flat.defined() ? flat.data<T>() : nullptr,
                         y.mutable_data<T>());
  });
}

RETORT_CPU_KERNEL(conv_input_grad) {
  const Tensor &cot = call.in[0], &w = call.in[1], &dx = call.out[0];
  const auto shape = conv_shape(dx.shape(), w.shape(), call.attrs.as<ConvAttrs>());
  if (cot.numel() == 0) return fill_(dx, 0.0);
  visit_float(cot.dtype(),
              [&]<class T>(T) { cpu::conv_backward_data<T>(shape, cot.data<T>(), w.data<T>(), dx.mutable_data<T>()); });
}

RETORT_CPU_KERNEL(conv_weight_grad) {
  const Tensor &x = call.in[0], &cot = call.in[1], &dw = call.out[0];
  const auto shape = conv_shape(x.shape(), dw.shape(), call.attrs.as<ConvAttrs>());
  if (cot.numel() == 0) return fill_(dw, 0.0);
  visit_float(x.dtype(), [&]<class T>(T) {
    cpu::conv_backward_weights<T>(shape, x.data<T>(), cot.data<T>(), dw.mutable_data<T>(), nullptr);
  });
}

}  // namespace retort
