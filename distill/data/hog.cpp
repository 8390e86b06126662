#include "distill/data/hog.h"

#include <cmath>
#include <numbers>

namespace retort {

namespace {
/// The neighbour's index, mirrored at the border.
std::int64_t mirrored(std::int64_t i, std::int64_t n) {
  if (n == 1) return 0;
  return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i;
}
}  // namespace

Tensor oriented_gradients(const Tensor& x, std::int64_t cell, std::int64_t bins) {
  if (x.rank() != 4 || x.size(2) % cell != 0 || x.size(3) % cell != 0)
    throw ShapeError("hog: images must be [n, c, h, w] of whole cells of {}; got {}", cell, x.str());
  const std::int64_t n = x.size(0), channels = x.size(1), h = x.size(2), w = x.size(3);
  const Shape shape{n, channels * bins, h / cell, w / cell};
  if (x.meta()) return Tensor::empty(shape, x.dtype(), x.device());
  const std::vector<double> v = x.values();
  std::vector<double> out(static_cast<std::size_t>(shape.product()), 0);
  const std::int64_t cells = (h / cell) * (w / cell);
  for (std::int64_t plane = 0; plane < n * channels; ++plane) {
    const double* image = v.data() + plane * h * w;
    double* histogram = out.data() + plane * bins * cells;
    for (std::int64_t r = 0; r < h; ++r)
      for (std::int64_t c = 0; c < w; ++c) {
        const double gx = image[r * w + mirrored(c + 1, w)] - image[r * w + mirrored(c - 1, w)];
        const double gy = image[mirrored(r + 1, h) * w + c] - image[mirrored(r - 1, h) * w + c];
        const double turn = std::atan2(gx, gy) / std::numbers::pi * static_cast<double>(bins);
        const auto bin = (static_cast<std::int64_t>(std::floor(turn)) + 2 * bins) % bins;
        histogram[bin * cells + r / cell * (w / cell) + c / cell] += std::hypot(gx, gy);
      }
    for (std::int64_t k = 0; k < cells; ++k) {
      double size = 0;
      for (std::int64_t b = 0; b < bins; ++b) size += histogram[b * cells + k] * histogram[b * cells + k];
      for (std::int64_t b = 0; b < bins && size > 0; ++b) histogram[b * cells + k] /= std::sqrt(size);
    }
  }
  return Tensor::from(out, shape, x.dtype());
}

}  // namespace retort
