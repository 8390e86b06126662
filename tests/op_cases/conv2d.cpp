// tests/op_cases/conv2d.cpp -- convolution and its adjoints against seven loops.
#include "autograd/ops/conv.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Calls f(image index, weight index, output index) for every product of the convolution, in row-major NCHW / OIHW.
template <class F>
void each_product(const Shape& x, const Shape& w, const Shape& y, const Conv2dAttrs& a, F&& f) {
  const std::int64_t og = w[0] / a.groups;
  for (std::int64_t n = 0; n < x[0]; ++n)
    for (std::int64_t o = 0; o < w[0]; ++o)
      for (std::int64_t i = 0; i < y[2]; ++i)
        for (std::int64_t j = 0; j < y[3]; ++j)
          for (std::int64_t c = 0; c < w[1]; ++c)
            for (std::int64_t p = 0; p < w[2]; ++p)
              for (std::int64_t q = 0; q < w[3]; ++q) {
                const std::int64_t h = i * a.stride_h + p * a.dil_h - a.pad_h,
                                   v = j * a.stride_w + q * a.dil_w - a.pad_w;
                if (h < 0 || v < 0 || h >= x[2] || v >= x[3]) continue;
                const std::int64_t channel = o / og * w[1] + c;
                f(static_cast<std::size_t>(((n * x[1] + channel) * x[2] + h) * x[3] + v),
                  static_cast<std::size_t>(((o * w[1] + c) * w[2] + p) * w[3] + q),
                  static_cast<std::size_t>(((n * w[0] + o) * y[2] + i) * y[3] + j));
              }
}

Sample convolution(const Shape& x, const Shape& w, bool bias, ConvOptions o) {
  const Conv2dAttrs a{o.stride, o.stride, o.padding, o.padding, o.dilation, o.dilation, o.groups};
  return {{randn(x), randn(w, 2), bias ? randn({w[0]}, 3) : Tensor()},
          [o](In in) { return Tensors{conv2d(in[0], in[1], in[2], o)}; },
          [a](In in) {
            const Shape &xs = in[0].shape(), &ws = in[1].shape();
            const Shape ys{xs[0], ws[0], (xs[2] + 2 * a.pad_h - a.dil_h * (ws[2] - 1) - 1) / a.stride_h + 1,
                           (xs[3] + 2 * a.pad_w - a.dil_w * (ws[3] - 1) - 1) / a.stride_w + 1};
            const auto vx = in[0].values(), vw = in[1].values();
            std::vector<double> y(static_cast<std::size_t>(ys.product()), 0.0);
            if (in[2].defined()) {
              const auto b = in[2].values();
              const auto plane = static_cast<std::size_t>(ys[2] * ys[3]);
              for (std::size_t i = 0; i < y.size(); ++i) y[i] = b[i / plane % b.size()];
            }
            each_product(xs, ws, ys, a, [&](auto i, auto k, auto j) { y[j] += vx[i] * vw[k]; });
            return Tensors{Tensor::from(y, ys, DType::f64)};
          },
          x.str() + w.str()};
}
}  // namespace

OP_CASE(conv2d) {
  c.covers = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"};
  c.tolerance_f32 = 3e-6;
  c.order = 3;
  c.samples = {convolution({2, 2, 4, 5}, {3, 2, 3, 3}, true, {1, 1, 1, 1}),
               convolution({2, 3, 7, 6}, {4, 3, 3, 3}, false, {2, 1, 1, 1}),
               convolution({1, 4, 6, 6}, {6, 2, 3, 3}, true, {1, 1, 1, 2}),
               convolution({2, 4, 5, 5}, {4, 1, 3, 3}, true, {1, 1, 1, 4}),
               convolution({1, 2, 9, 9}, {2, 2, 3, 3}, false, {1, 2, 2, 1}),
               convolution({2, 5, 3, 3}, {7, 5, 1, 1}, true, {}),
               convolution({0, 2, 5, 5}, {3, 2, 3, 3}, true, {1, 1, 1, 1}),
               convolution({1, 1, 28, 28}, {8, 1, 5, 5}, true, {1, 2, 1, 1})};
  c.errors = {{"conv2d: channels do not fit 1 groups",
               [] {
                 conv2d(randn({1, 2, 4, 4}), randn({3, 3, 3, 3}));
               }},
              {"conv2d: the kernel does not fit",
               [] {
                 conv2d(randn({1, 2, 2, 2}), randn({3, 2, 3, 3}));
               }},
              {"conv2d: stride", [] {
                 conv2d(randn({1, 2, 4, 4}), randn({3, 2, 3, 3}), {}, {0, 0, 1, 1});
               }}};
}
