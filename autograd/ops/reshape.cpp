// autograd/ops/reshape.cpp -- the same elements in row-major order under another shape.
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/write.h"

namespace retort {

namespace {
/// Strides under which `layout`'s elements read row-major as `shape`, or nothing when a copy is needed. Each group of
/// old axes that is contiguous within itself can be cut anew.
bool viewable_strides(const Layout& layout, const Shape& shape, Strides& strides) {
  strides = contiguous_strides(shape);
  if (layout.contiguous()) return true;
  int old_axis = 0;
  const int old_rank = layout.shape.rank();
  for (int axis = 0; axis < shape.rank();) {
    std::int64_t have = 1, want = 1;
    const int first_old = old_axis, first = axis;
    do {  // grow both groups until they cover the same elements
      if (want <= have && axis < shape.rank()) want *= shape[axis++];
      if (have < want && old_axis < old_rank) have *= layout.shape[old_axis++];
    } while (have != want);
    while (axis < shape.rank() && shape[axis] == 1) ++axis;
    while (old_axis < old_rank && layout.shape[old_axis] == 1) ++old_axis;
    std::int64_t stride = 1;
    int inner = -1;  // the next axis within the group that is longer than 1
    for (int a = old_axis - 1; a >= first_old; --a) {
      if (layout.shape[a] == 1) continue;
      if (inner < 0)
        stride = layout.strides[a];
      else if (layout.strides[a] != layout.strides[inner] * layout.shape[inner])
        return false;
      inner = a;
    }
    for (int a = axis - 1; a >= first; --a) {
      strides[a] = stride;
      stride *= shape[a];
    }
  }
  return true;
}

struct Reshape : Linear<Reshape> {
  static constexpr std::string_view name = "reshape";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static Tensor view(const Tensor& x, const AttrBox& attrs) {
    const Shape& shape = attrs.as<Shape>();
    Layout layout{shape, {}, x.layout().offset};
    if (!viewable_strides(x.layout(), shape, layout.strides))
      return copy_of(x).view({shape, contiguous_strides(shape), 0});
    return x.view(layout);
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) { return reshape(cot, c.in[0].shape()); }
};
REGISTER_OP(Reshape);

Shape resolved(const Tensor& x, Shape shape) {
  int unknown = -1;
  std::int64_t known = 1;
  for (int a = 0; a < shape.rank(); ++a) {
    if (shape[a] == -1 && unknown < 0)
      unknown = a;
    else
      known *= shape[a];
  }
  if (unknown >= 0 && known > 0 && x.numel() % known == 0) shape[unknown] = x.numel() / known;
  if (shape.product() != x.numel())
    throw ShapeError("reshape: {} elements do not fill {}; got {}", x.numel(), shape.str(), x.str());
  return shape;
}
}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return apply_with<Reshape>(AttrBox::of(resolved(x, shape)), x);
}

Tensor unsqueeze(const Tensor& x, int axis) {
  Shape shape = x.shape();
  shape.insert(normalize_axis(axis, x.rank() + 1, "unsqueeze"), 1);
  return reshape(x, shape);
}

Tensor squeeze(const Tensor& x, int axis) {
  const int a = normalize_axis(axis, x.rank(), "squeeze");
  if (x.shape()[a] != 1) throw ShapeError("squeeze: axis {} has extent {}; got {}", a, x.shape()[a], x.str());
  Shape shape = x.shape();
  shape.erase(a);
  return reshape(x, shape);
}

Tensor repeat_interleave(const Tensor& x, std::int64_t times, int axis) {
  const int a = normalize_axis(axis, x.rank(), "repeat_interleave");
  if (times < 0) throw ValueError("repeat_interleave: needs times >= 0; got {}", times);
  Shape repeated = x.shape(), shape = x.shape();
  repeated.insert(a + 1, times);
  shape[a] *= times;
  return reshape(broadcast_to(unsqueeze(x, a + 1), repeated), shape);
}

}  // namespace retort
