// autograd/ops/triangle.cpp -- one triangle of a matrix, its diagonal scaled; its own adjoint.
#include "autograd/ops/linalg_checks.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Triangle : Linear<Triangle> {
  static constexpr std::string_view name = "triangle";
  static void infer(InferCall& call) {
    infer::require_matrix(call, 0);
    call.output(call.in[0].shape(), call.in[0].dtype());
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    const auto& a = c.attrs.as<TriangleAttrs>();
    return triangle(cot, a.upper, a.diagonal);
  }
};
REGISTER_OP(Triangle);
}  // namespace

Tensor triangle(const Tensor& x, bool upper, double diagonal) {
  return apply_with<Triangle>(AttrBox::of(TriangleAttrs{upper, diagonal}), x);
}

}  // namespace retort
