// tensor/cpu/conv_ops.cpp -- CPU kernels of conv, conv_block and the adjoints over tensor/cpu/conv.h. All operands
// arrive with channels innermost.
#include "tensor/attrs.h"
#include "tensor/cpu/conv.h"
#include "tensor/cpu/rows.h"
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

/// y = conv(x, w) + bias, then the epilogue.
template <class T>
void forward(const KernelCall& call, const ConvAttrs& attrs, const cpu::ConvEpilogue<T>* epilogue) {
  const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const Tensor flat = bias.defined() && !bias.layout().contiguous() ? copy_of(bias) : bias;
  cpu::conv_forward<T>(conv_shape(x.shape(), w.shape(), attrs), x.data<T>(), w.data<T>(),
                       flat.defined() ? flat.data<T>() : nullptr, y.mutable_data<T>(), cpu::kDefaultEngine, epilogue);
}
}  // namespace

RETORT_CPU_KERNEL(conv) {
  if (call.out[0].numel() == 0) return;
  visit_float(call.in[0].dtype(), [&]<class T>(T) { forward<T>(call, call.attrs.as<ConvAttrs>(), nullptr); });
}

RETORT_CPU_KERNEL(conv_block) {
  if (call.out[0].numel() == 0) return;
  const auto& attrs = call.attrs.as<ConvBlockAttrs>();
  const std::int64_t o = call.in[1].shape()[0];
  const Tensor& residual = call.in[5];
  visit_float(call.in[0].dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const cpu::Scratch<C> scale(o), shift(o);
    cpu::load_vector(call.in[3], o, C(1), scale.data());
    cpu::load_vector(call.in[4], o, C(0), shift.data());
    const cpu::ConvEpilogue<T> epilogue{scale.data(), shift.data(), residual.defined() ? residual.data<T>() : nullptr,
                                        static_cast<C>(attrs.range.low), static_cast<C>(attrs.range.high)};
    forward<T>(call, attrs.conv, &epilogue);
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
