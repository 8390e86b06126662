// autograd/ops/permute.cpp -- a view with reordered axes; its adjoint is the inverse order.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Permute : Linear<Permute> {
  static constexpr std::string_view name = "permute";
  static Tensor view(const Tensor& x, const AttrBox& attrs) {
    Layout layout{{}, {}, x.layout().offset};
    for (const int axis : attrs.as<Axes>()) {
      layout.shape.push_back(x.shape()[axis]);
      layout.strides.push_back(x.strides()[axis]);
    }
    return x.view(layout);
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    std::array<int, kMaxRank> inverse{};
    int at = 0;
    for (const int axis : c.attrs.as<Axes>()) inverse[static_cast<std::size_t>(axis)] = at++;
    return permute(cot, Axes(std::span<const int>(inverse.data(), static_cast<std::size_t>(at))));
  }
};
REGISTER_OP(Permute);
}  // namespace

Tensor permute(const Tensor& x, const Axes& axes) {
  if (axes.size() != x.rank())
    throw ShapeError("permute: needs every axis once; got {} axes for {}", axes.size(), x.str());
  std::array<int, kMaxRank> order{};
  std::uint32_t seen = 0;
  std::size_t at = 0;
  for (const int axis : axes) {
    const int a = normalize_axis(axis, x.rank(), "permute");
    if (seen >> a & 1u) throw ShapeError("permute: axis {} is named twice; got {}", axis, x.str());
    seen |= 1u << a;
    order[at++] = a;
  }
  return apply_with<Permute>(AttrBox::of(Axes(std::span<const int>(order.data(), at))), x);
}

Tensor transpose(const Tensor& x, int a, int b) {
  std::array<int, kMaxRank> order{};
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::swap(order[static_cast<std::size_t>(normalize_axis(a, x.rank(), "transpose"))],
            order[static_cast<std::size_t>(normalize_axis(b, x.rank(), "transpose"))]);
  return permute(x, Axes(std::span<const int>(order.data(), static_cast<std::size_t>(x.rank()))));
}

}  // namespace retort
