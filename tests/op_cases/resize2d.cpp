// tests/op_cases/resize2d.cpp -- resizing against a direct evaluation of the filters, pixel by pixel.
#include <algorithm>
#include <cmath>

#include "autograd/ops/image.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
double keys(double t, double a) {
  t = std::abs(t);
  if (t < 1) return (a + 2) * t * t * t - (a + 3) * t * t + 1;
  if (t < 2) return a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a;
  return 0;
}

/// The weight of input pixel i in output pixel o, from the definition.
double weight(const ResizeOptions& r, std::int64_t i, std::int64_t o, std::int64_t in, std::int64_t out) {
  const double n = double(in), m = double(out), at = double(o);
  if (r.mode == ResizeMode::nearest) return i == o * in / out ? 1 : 0;
  if (r.mode == ResizeMode::nearest_exact) return i == (2 * o + 1) * in / (2 * out) ? 1 : 0;
  const auto filter = [&](double t, double a) {
    return r.mode == ResizeMode::bicubic ? keys(t, a) : std::max(0.0, 1 - std::abs(t));
  };
  if (r.antialias) {
    const double stretch = std::max(1.0, n / m);
    const auto raw = [&](std::int64_t k) { return filter((double(k) + 0.5 - (at + 0.5) * n / m) / stretch, -0.5); };
    double total = 0;
    for (std::int64_t k = 0; k < in; ++k) total += raw(k);
    return raw(i) / total;
  }
  const double centre = r.align_corners ? (out > 1 ? at * (n - 1) / (m - 1) : 0) : (at + 0.5) * n / m - 0.5;
  double total = 0;
  for (std::int64_t k = -4; k < in + 4; ++k)  // positions beyond the edges show the pixel at the edge
    if (std::clamp<std::int64_t>(k, 0, in - 1) == i) total += filter(double(k) - centre, -0.75);
  return total;
}

Sample resized(const Shape& x, std::int64_t h, std::int64_t w, ResizeOptions o) {
  return {{randn(x)},
          [=](In in) { return Tensors{resize2d(in[0], h, w, o)}; },
          [=](In in) {
            const Shape& s = in[0].shape();
            const auto v = in[0].values();
            std::vector<double> y;
            for (std::int64_t plane = 0; plane < s[0] * s[1]; ++plane)
              for (std::int64_t i = 0; i < h; ++i)
                for (std::int64_t j = 0; j < w; ++j) {
                  double total = 0;
                  for (std::int64_t p = 0; p < s[2]; ++p) {
                    const double along = weight(o, p, i, s[2], h);
                    if (along == 0) continue;
                    for (std::int64_t q = 0; q < s[3]; ++q)
                      total +=
                          along * weight(o, q, j, s[3], w) * v[static_cast<std::size_t>((plane * s[2] + p) * s[3] + q)];
                  }
                  y.push_back(total);
                }
            return Tensors{Tensor::from(y, {s[0], s[1], h, w}, DType::f64)};
          },
          x.str()};
}
}  // namespace

OP_CASE(resize2d) {
  c.covers = {"resize2d", "resize2d_grad"};
  using enum ResizeMode;
  c.samples = {resized({2, 3, 3, 4}, 5, 6, {}),
               resized({2, 3, 3, 4}, 6, 8, {bilinear, true}),
               resized({1, 5, 7, 9}, 3, 4, {}),
               resized({1, 1, 7, 9}, 3, 20, {bilinear, false, true}),
               resized({1, 4, 5, 6}, 8, 3, {bicubic}),
               resized({1, 2, 5, 6}, 9, 4, {bicubic, true}),
               resized({2, 3, 11, 8}, 4, 3, {bicubic, false, true}),
               resized({2, 2, 5, 7}, 9, 3, {nearest}),
               resized({2, 2, 5, 7}, 9, 3, {nearest_exact}),
               resized({1, 2, 1, 1}, 3, 1, {bicubic}),
               resized({1, 2, 3, 3}, 1, 1, {bilinear, true}),
               resized({0, 2, 3, 3}, 2, 5, {}),
               resized({2, 17, 24, 25}, 48, 50, {})};
  c.errors = {{"resize2d: align_corners and antialias have no meaning for nearest",
               [] {
                 resize2d(randn({1, 1, 2, 2}), 3, 3, {nearest, true});
               }},
              {"resize2d: antialias is defined for align_corners = false only",
               [] {
                 resize2d(randn({1, 1, 2, 2}), 3, 3, {bilinear, true, true});
               }},
              {"resize2d: the result's extents must be positive",
               [] {
                 resize2d(randn({1, 1, 2, 2}), 0, 3);
               }},
              {"resize2d: the image must have 4 axes",
               [] {
                 resize2d(randn({1, 2, 2}), 3, 3);
               }},
              {"resize2d: the image has no pixels", [] {
                 resize2d(randn({1, 2, 0, 2}), 3, 3);
               }}};
}
