// autograd/ops/cast.cpp -- cast(x, dtype): the same values in another element type.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Cast : Linear<Cast> {
  static constexpr std::string_view name = "cast";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 0, 1}; }
  static void infer(InferCall& call) {
    call.output(call.in[0].shape(), call.attrs.as<DType>(), infer::like(call.in[0]));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) { return cast(cot, c.in[0].dtype()); }
  /// In the result's type, not the one asked for: a detached jvp reads 16-bit results in f32, and its tangents stay so.
  static void jvp(JvpCall& c) { c.out_tangent[0] = cast(c.tangent[0], c.out[0].dtype()); }
};
REGISTER_OP(Cast);
}  // namespace

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return apply_with<Cast>(AttrBox::of(dtype), x);
}

}  // namespace retort
