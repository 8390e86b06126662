// tensor/cpu/conv2d.cpp -- CPU kernels of conv2d and its adjoints over tensor/cpu/conv.h. All operands arrive with
// channels innermost.
#include "tensor/attrs.h"
#include "tensor/cpu/conv.h"
#include "tensor/primitive.h"
#include "tensor/write.h"

namespace retort {

namespace {
cpu::ConvShape conv_shape(const Shape& x, const Shape& w, const Conv2dAttrs& a) {
  return {x[0],       x[1],       x[2],    x[3],    w[0],    w[2],    w[3],
          a.stride_h, a.stride_w, a.pad_h, a.pad_w, a.dil_h, a.dil_w, a.groups};
}
}  // namespace

RETORT_CPU_KERNEL(conv2d) {
  const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const auto shape = conv_shape(x.shape(), w.shape(), call.attrs.as<Conv2dAttrs>());
  if (y.numel() == 0) return;
  visit_float(x.dtype(), [&]<class T>(T) {
    const Tensor flat = bias.defined() && !bias.layout().contiguous() ? copy_of(bias) : bias;
    cpu::conv_forward<T>(shape, x.data<T>(), w.data<T>(), flat.defined() ? flat.data<T>() : nullptr,
                         y.mutable_data<T>());
  });
}

RETORT_CPU_KERNEL(conv2d_input_grad) {
  const Tensor &cot = call.in[0], &w = call.in[1], &dx = call.out[0];
  const auto shape = conv_shape(dx.shape(), w.shape(), call.attrs.as<Conv2dAttrs>());
  if (cot.numel() == 0) return fill_(dx, 0.0);
  visit_float(cot.dtype(),
              [&]<class T>(T) { cpu::conv_backward_data<T>(shape, cot.data<T>(), w.data<T>(), dx.mutable_data<T>()); });
}

RETORT_CPU_KERNEL(conv2d_weight_grad) {
  const Tensor &x = call.in[0], &cot = call.in[1], &dw = call.out[0];
  const auto shape = conv_shape(x.shape(), dw.shape(), call.attrs.as<Conv2dAttrs>());
  if (cot.numel() == 0) return fill_(dw, 0.0);
  visit_float(x.dtype(), [&]<class T>(T) {
    cpu::conv_backward_weights<T>(shape, x.data<T>(), cot.data<T>(), dw.mutable_data<T>(), nullptr);
  });
}

}  // namespace retort
