// autograd/ops/pixel_shuffle.cpp -- channels to pixels and back: one copy, straight into channels-last order.
#include "autograd/ops/image.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
void require_image(const Tensor& x, std::int64_t r, std::string_view op) {
  if (x.rank() != 4 || r < 1)
    throw ShapeError("{}: x must be [n, c, h, w] and r positive; got {} and {}", op, x.str(), r);
}
}  // namespace

Tensor pixel_shuffle(const Tensor& x, std::int64_t r) {
  require_image(x, r, "pixel_shuffle");
  const std::int64_t n = x.size(0), c = x.size(1) / (r * r), h = x.size(2), w = x.size(3);
  if (x.size(1) % (r * r) != 0)
    throw ShapeError("pixel_shuffle: {} channels do not make {}x{} pixels; got {}", x.size(1), r, r, x.str());
  const Tensor parts = reshape(permute(x, {0, 2, 3, 1}), {n, h, w, c, r, r});
  return permute(reshape(permute(parts, {0, 1, 4, 2, 5, 3}), {n, h * r, w * r, c}), {0, 3, 1, 2});
}

Tensor pixel_unshuffle(const Tensor& x, std::int64_t r) {
  require_image(x, r, "pixel_unshuffle");
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2) / r, w = x.size(3) / r;
  if (x.size(2) % r != 0 || x.size(3) % r != 0)
    throw ShapeError("pixel_unshuffle: {}x{} pixels do not divide into {}x{}; got {}", x.size(2), x.size(3), r, r,
                     x.str());
  const Tensor parts = reshape(permute(x, {0, 2, 3, 1}), {n, h, r, w, r, c});
  return permute(reshape(permute(parts, {0, 1, 3, 5, 2, 4}), {n, h, w, c * r * r}), {0, 3, 1, 2});
}

}  // namespace retort
