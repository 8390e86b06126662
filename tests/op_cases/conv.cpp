// tests/op_cases/conv.cpp -- convolution over one to three axes, its adjoints and its transpose against plain loops.
#include "autograd/ops/conv.h"

#include <algorithm>
#include <limits>

#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// [n, c, ...] with leading spatial axes of extent 1, so that every case is a volume.
Shape volume(const Shape& s) {
  Shape v = s;
  while (v.rank() < 5) v.insert(2, 1);
  return v;
}
std::int64_t at(const Shape& s, std::int64_t a, std::int64_t b, const std::int64_t (&i)[3]) {
  return (((a * s[1] + b) * s[2] + i[0]) * s[3] + i[1]) * s[4] + i[2];
}

/// Calls f(image index, weight index, output index) for every product of the convolution, in row-major order of the
/// logical axes. `padding` and the others hold for all axes that the image has.
template <class F>
void each_product(const Shape& image, const Shape& weight, const Shape& result, const ConvOptions& o, F&& f) {
  const Shape x = volume(image), w = volume(weight), y = volume(result);
  const std::int64_t og = w[0] / o.groups, taps = w[2] * w[3] * w[4], pixels = y[2] * y[3] * y[4];
  for (std::int64_t p = 0; p < y[0] * pixels; ++p)
    for (std::int64_t t = 0; t < taps; ++t) {
      const std::int64_t out[3] = {p % pixels / (y[3] * y[4]), p / y[4] % y[3], p % y[4]};
      const std::int64_t tap[3] = {t / (w[3] * w[4]), t / w[4] % w[3], t % w[4]};
      std::int64_t in[3] = {0, 0, 0};
      bool inside = true;
      for (int i = 5 - image.rank(); i < 3; ++i) {
        in[i] = out[i] * o.stride + tap[i] * o.dilation - o.padding;
        inside = inside && in[i] >= 0 && in[i] < x[i + 2];
      }
      if (!inside) continue;
      for (std::int64_t k = 0; k < w[0]; ++k)
        for (std::int64_t c = 0; c < w[1]; ++c)
          f(static_cast<std::size_t>(at(x, p / pixels, k / og * w[1] + c, in)),
            static_cast<std::size_t>(at(w, k, c, tap)), static_cast<std::size_t>(at(y, p / pixels, k, out)));
    }
}

/// bias[c] everywhere, or zero.
std::vector<double> biased(const Tensor& bias, const Shape& y) {
  std::vector<double> v(static_cast<std::size_t>(y.product()), 0.0);
  if (!bias.defined() || v.empty()) return v;
  const auto b = bias.values();
  const std::size_t plane = v.size() / static_cast<std::size_t>(y[0] * y[1]);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = b[i / plane % b.size()];
  return v;
}

Sample convolution(const Shape& x, const Shape& w, bool bias, ConvOptions o) {
  return {{randn(x), randn(w, 2), bias ? randn({w[0]}, 3) : Tensor()},
          [o](In in) {
            const auto f = in[0].rank() == 3 ? conv1d : in[0].rank() == 4 ? conv2d : conv3d;
            return Tensors{f(in[0], in[1], in[2], o)};
          },
          [o](In in) {
            const Shape &xs = in[0].shape(), &ws = in[1].shape();
            Shape ys{xs[0], ws[0]};
            for (int i = 2; i < xs.rank(); ++i)
              ys.push_back((xs[i] + 2 * o.padding - o.dilation * (ws[i] - 1) - 1) / o.stride + 1);
            const auto vx = in[0].values(), vw = in[1].values();
            auto y = biased(in[2], ys);
            each_product(xs, ws, ys, o, [&](auto i, auto k, auto j) { y[j] += vx[i] * vw[k]; });
            return Tensors{Tensor::from(y, ys, DType::f64)};
          },
          x.str() + w.str()};
}

/// A block on `x` with every operand of the epilogue that is asked for, limited to [low, high]. A mapped one keeps
/// about 1 away from the kink at 0: channels are mostly above or below it.
Sample block(const Shape& x, const Shape& w, ConvOptions o, bool mapped, bool residual, double low, double high) {
  Sample s = convolution(x, w, !mapped, o);
  const Function conv = s.naive;
  const Tensor y = conv(s.in)[0];
  std::vector<double> shift;
  for (std::int64_t i = 0; i < w[0]; ++i) shift.push_back(i % 3 == 1 ? -4 : 4);
  s.in.push_back(mapped ? uniform({w[0]}, 0.05, 0.15, 4) : Tensor());
  s.in.push_back(mapped ? Tensor::from(shift, {w[0]}, DType::f64) : Tensor());
  s.in.push_back(residual ? uniform(y.shape(), -1, 1, 6) : Tensor());
  s.fn = [=](In in) { return Tensors{conv_block(in[0], in[1], in[2], o, {in[3], in[4], in[5], low, high})}; };
  s.naive = [=](In in) {
    const Tensor plain = conv(in)[0];
    auto v = plain.values();
    const auto of = [&](std::size_t i) { return in[i].defined() ? in[i].values() : std::vector<double>(); };
    const auto scale = of(3), shift = of(4), added = of(5);
    const auto channels = static_cast<std::size_t>(plain.size(1));
    const std::size_t pixels = v.empty() ? 1 : v.size() / channels / static_cast<std::size_t>(plain.size(0));
    for (std::size_t i = 0; i < v.size(); ++i) {
      const std::size_t c = i / pixels % channels;
      if (!scale.empty()) v[i] = v[i] * scale[c] + shift[c];
      if (!added.empty()) v[i] += added[i];
      v[i] = std::clamp(v[i], low, high);
    }
    return Tensors{Tensor::from(v, plain.shape(), DType::f64)};
  };
  return s;
}

Sample transposed(const Shape& x, const Shape& w, bool bias, ConvTransposeOptions o) {
  return {
      {randn(x), randn(w, 2), bias ? randn({w[1] * o.groups}, 3) : Tensor()},
      [o](In in) {
        const auto f = in[0].rank() == 3 ? conv_transpose1d : in[0].rank() == 4 ? conv_transpose2d : conv_transpose3d;
        return Tensors{f(in[0], in[1], in[2], o)};
      },
      [o](In in) {
        const Shape &xs = in[0].shape(), &ws = in[1].shape();
        Shape ys{xs[0], ws[1] * o.groups};
        for (int i = 2; i < xs.rank(); ++i)
          ys.push_back((xs[i] - 1) * o.stride - 2 * o.padding + o.dilation * (ws[i] - 1) + o.output_padding + 1);
        const auto vx = in[0].values(), vw = in[1].values();
        auto y = biased(in[2], ys);
        each_product(ys, ws, xs, {o.stride, o.padding, o.dilation, o.groups},
                     [&](auto i, auto k, auto j) { y[i] += vx[j] * vw[k]; });
        return Tensors{Tensor::from(y, ys, DType::f64)};
      },
      x.str() + w.str()};
}
}  // namespace

OP_CASE(conv) {
  c.covers = {"conv", "conv_input_grad", "conv_weight_grad"};
  c.tolerance_f32 = 3e-6;  // sums of up to 270 products
  c.samples = {convolution({2, 2, 4, 5}, {3, 2, 3, 3}, true, {1, 1, 1, 1}),
               convolution({2, 3, 7, 6}, {4, 3, 3, 3}, false, {2, 1, 1, 1}),
               convolution({1, 4, 6, 6}, {6, 2, 3, 3}, true, {1, 1, 1, 2}),
               convolution({2, 4, 5, 5}, {4, 1, 3, 3}, true, {1, 1, 1, 4}),
               convolution({2, 5, 7, 5}, {5, 1, 3, 3}, true, {2, 1, 2, 5}),
               convolution({1, 3, 5, 5}, {6, 1, 3, 3}, true, {1, 1, 1, 3}),
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

OP_CASE(conv_block) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  c.tolerance_f32 = 3e-6;
  c.samples = {block({2, 2, 4, 5}, {3, 2, 3, 3}, {1, 1, 1, 1}, true, true, 0, kInfinity),
               block({2, 3, 7, 6}, {4, 3, 3, 3}, {2, 1, 1, 1}, true, false, 0, kInfinity),
               block({1, 4, 6, 6}, {6, 2, 3, 3}, {1, 1, 1, 2}, false, true, -kInfinity, kInfinity),
               block({2, 4, 5, 5}, {4, 1, 3, 3}, {1, 1, 1, 4}, true, true, -8, 3),
               block({2, 5, 3, 3}, {7, 5, 1, 1}, {}, false, false, 0, 6),
               block({0, 2, 5, 5}, {3, 2, 3, 3}, {1, 1, 1, 1}, true, true, 0, kInfinity),
               block({9, 1, 28, 28}, {8, 1, 3, 3}, {1, 1, 1, 1}, true, true, 0, kInfinity)};
  c.errors = {{"conv_block: the residual must be like the result",
               [] {
                 conv_block(randn({1, 2, 4, 4}), randn({3, 2, 3, 3}), {}, {}, {.residual = randn({1, 3, 4, 4})});
               }},
              {"conv_block: parameter 3 must have shape [3]",
               [] {
                 conv_block(randn({1, 2, 4, 4}), randn({3, 2, 3, 3}), {}, {}, {.scale = randn({2})});
               }},
              {"conv_block: needs low <= high", [] {
                 conv_block(randn({1, 2, 4, 4}), randn({3, 2, 3, 3}), {}, {}, {.low = 1, .high = 0});
               }}};
}

OP_CASE(conv1d) {
  c.covers = {"conv", "conv_input_grad", "conv_weight_grad"};
  c.tolerance_f32 = 3e-6;
  c.order = 2;
  c.samples = {convolution({2, 2, 7}, {3, 2, 3}, true, {1, 1, 1, 1}),
               convolution({1, 6, 11}, {4, 3, 3}, false, {2, 2, 2, 2}),
               convolution({2, 4, 9}, {4, 1, 5}, true, {1, 2, 1, 4})};
  c.errors = {{"conv1d: the kernel does not fit",
               [] {
                 conv1d(randn({1, 2, 2}), randn({3, 2, 3}));
               }},
              {"conv: input 0 must have 3 axes", [] {
                 conv1d(randn({1, 2, 2, 2}), randn({3, 2, 3}));
               }}};
}

OP_CASE(conv3d) {
  c.covers = {"conv", "conv_input_grad", "conv_weight_grad"};
  c.tolerance_f32 = 3e-6;
  c.order = 2;
  c.samples = {convolution({1, 2, 3, 4, 3}, {3, 2, 2, 3, 2}, true, {1, 1, 1, 1}),
               convolution({2, 4, 5, 5, 6}, {6, 2, 3, 3, 3}, true, {2, 1, 1, 2}),
               convolution({1, 3, 5, 6, 5}, {3, 1, 3, 3, 3}, false, {1, 2, 2, 3})};
  c.errors = {{"conv3d: channels do not fit 1 groups", [] { conv3d(randn({1, 2, 4, 4, 4}), randn({3, 3, 3, 3, 3})); }}};
}

OP_CASE(conv_transpose) {
  c.covers = {"conv_input_grad"};
  c.tolerance_f32 = 3e-6;
  c.samples = {transposed({2, 3, 3, 2}, {3, 2, 3, 3}, true, {2, 1, 1}),
               transposed({1, 4, 4, 3}, {4, 3, 2, 2}, false, {3, 0, 2}),
               transposed({1, 4, 4, 3}, {4, 2, 3, 3}, true, {2, 2, 0, 2, 2}),
               transposed({2, 4, 5, 5}, {4, 1, 4, 4}, true, {2, 1, 0, 1, 4}),
               transposed({2, 3, 5}, {3, 4, 4}, true, {2, 1}),
               transposed({1, 2, 2, 3, 2}, {2, 3, 2, 3, 3}, true, {2, 1, 1}),
               transposed({0, 2, 3, 3}, {2, 3, 3, 3}, true, {})};
  c.errors = {{"conv_transpose2d: channels do not fit 2 groups",
               [] {
                 conv_transpose2d(randn({1, 3, 4, 4}), randn({3, 3, 3, 3}), {}, {1, 0, 0, 1, 2});
               }},
              {"conv_transpose2d: stride and dilation must be positive",
               [] {
                 conv_transpose2d(randn({1, 2, 4, 4}), randn({2, 3, 3, 3}), {}, {2, 0, 2});
               }},
              {"conv_transpose1d: the bias must have 3 elements",
               [] {
                 conv_transpose1d(randn({1, 2, 4}), randn({2, 3, 3}), randn({2}));
               }},
              {"conv_transpose1d: nothing is left of axis 2", [] {
                 conv_transpose1d(randn({1, 2, 1}), randn({2, 3, 1}), {}, {1, 1});
               }}};
}
