// autograd/ops/split.cpp -- views of consecutive pieces along an axis; the adjoint puts them together again (concat).
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Split : General<Split> {
  static constexpr std::string_view name = "split";
  static constexpr int outputs = 0;  // as many as the call says
  static void views(const Tensor& x, const AttrBox& attrs, std::span<Tensor> out) {
    const auto& a = attrs.as<SplitAttrs>();
    Layout piece = x.layout();
    for (std::size_t i = 0; i < out.size(); ++i) {
      piece.shape[a.axis] = a.sizes[i];
      out[i] = x.view(piece);
      piece.offset += a.sizes[i] * piece.strides[a.axis];
    }
  }
  static void vjp(VjpCall& c) { c.grad[0] = concat(c.cot, c.attrs.as<SplitAttrs>().axis); }
  static void jvp(JvpCall& c) {
    const auto& a = c.attrs.as<SplitAttrs>();
    const Tensors pieces = split(c.tangent[0], a.sizes, a.axis);
    std::copy(pieces.begin(), pieces.end(), c.out_tangent.begin());
  }
};
REGISTER_OP(Split);
}  // namespace

std::vector<Tensor> split(const Tensor& x, std::span<const std::int64_t> sizes, int axis) {
  const int a = normalize_axis(axis, x.rank(), "split");
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0) throw ShapeError("split: needs non-negative sizes; got {}", size);
    total += size;
  }
  if (total != x.shape()[a])
    throw ShapeError("split: the pieces have {} elements along axis {}; got {}", total, a, x.str());
  if (sizes.size() == 1) return {x};
  Tensors pieces(sizes.size());
  apply(op_of<Split>(), std::span(&x, 1), AttrBox::of(SplitAttrs{a, {sizes.begin(), sizes.end()}}), pieces);
  return pieces;
}

std::vector<Tensor> chunk(const Tensor& x, int pieces, int axis) {
  const int a = normalize_axis(axis, x.rank(), "chunk");
  if (pieces < 1 || x.shape()[a] % pieces != 0)
    throw ShapeError("chunk: axis {} does not divide into {} pieces; got {}", a, pieces, x.str());
  const std::vector<std::int64_t> sizes(static_cast<std::size_t>(pieces), x.shape()[a] / pieces);
  return split(x, sizes, a);
}

}  // namespace retort
