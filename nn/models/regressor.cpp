#include "nn/models/regressor.h"

#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
Conv2d fitting(const Shape& from, const Shape& to) {
  if (from.rank() != 3 || to.rank() != 3)
    throw ShapeError("conv_reg: expected two feature maps [c, h, w]; got {} and {}", from.str(), to.str());
  const std::int64_t dh = from[1] - to[1], dw = from[2] - to[2];
  if (dh == 0 && dw == 0) return {from[0], to[0], 1, {}, false};
  if ((from[1] + 1) / 2 == to[1] && (from[2] + 1) / 2 == to[2])
    return {from[0], to[0], 3, {.stride = 2, .padding = 1, .dilation = 1, .groups = 1}, false};
  if (dh == dw && dh > 0) return {from[0], to[0], 1 + dh, {}, false};
  throw ShapeError(
      "conv_reg: no single convolution leads from {} to {}; hint: choose taps of the same or half the extent",
      from.str(), to.str());
}
}  // namespace

ConvRegressor::ConvRegressor(const Shape& from_shape, const Shape& to_shape)
    : from(from_shape), to(to_shape), conv(fitting(from_shape, to_shape)), norm(to_shape[0]) {}

Tensor ConvRegressor::forward(const Tensor& x, Ctx& ctx) const { return relu(norm(conv(x, ctx), ctx)); }

std::string ConvRegressor::arch() const { return fmt::format("conv_reg({} -> {})", from.str(), to.str()); }

void ConvRegressor::visit(Visitor& v) {
  v("conv", conv);
  v("norm", norm);
}

std::string LinearRegressor::arch() const { return fmt::format("linear({} -> {})", from, to); }

}  // namespace retort
