// autograd/ops/resize2d.cpp -- an image at another size, linear in the image.
#include "autograd/ops/image.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
struct Resize2d : Linear<Resize2d> {
  static constexpr std::string_view name = "resize2d";
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_rank(call, 0, 4);
    const auto& a = call.attrs.as<Resize2dAttrs>();
    const Shape& x = call.in[0].shape();
    if (x[2] < 1 || x[3] < 1) throw ShapeError("resize2d: the image has no pixels; got {}", call.in[0].str());
    const Shape out{x[0], x[1], a.out_h, a.out_w};
    call.output(out, call.in[0].dtype(), channels_last_strides(out));
  }
  static Tensor transpose(std::size_t, const Tensor& g, const VjpCall& c) {
    return resize2d_grad(g, c.attrs.as<Resize2dAttrs>());
  }
};
REGISTER_OP(Resize2d);
}  // namespace

Tensor resize2d_with(const Tensor& x, const Resize2dAttrs& attrs) {
  return apply_with<Resize2d>(AttrBox::of(attrs), channels_last(x));
}

Tensor resize2d(const Tensor& x, std::int64_t out_h, std::int64_t out_w, const ResizeOptions& o) {
  const bool smooth = o.mode == ResizeMode::bilinear || o.mode == ResizeMode::bicubic;
  if (!smooth && (o.align_corners || o.antialias))
    throw ValueError("resize2d: align_corners and antialias have no meaning for nearest modes");
  if (o.align_corners && o.antialias) throw ValueError("resize2d: antialias is defined for align_corners = false only");
  if (out_h < 1 || out_w < 1)
    throw ValueError("resize2d: the result's extents must be positive; got {} and {}", out_h, out_w);
  if (x.rank() != 4) throw ShapeError("resize2d: the image must have 4 axes; got {}", x.str());
  return resize2d_with(x, {o.mode, o.align_corners, o.antialias, x.size(2), x.size(3), out_h, out_w});
}

}  // namespace retort
