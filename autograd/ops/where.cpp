// autograd/ops/where.cpp -- where(condition, a, b): a or b per element, all three broadcasting, any dtype of a and b.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Where : Linear<Where> {
  static constexpr std::string_view name = "where";
  static constexpr bool broadcasts = true;
  static Saves saves(std::uint32_t, const AttrBox&) { return {1, 0, 0}; }
  static void infer(InferCall& call) {
    if (call.in[0].dtype() != DType::boolean)
      throw DTypeError("where: the condition must be bool; got {}; hint: compare first", call.in[0].str());
    infer::require_same_dtype(call, 1, 3);
    const auto [shape, strides] = infer::joint_layout(call);
    call.output(shape, call.in[1].dtype(), strides);
  }
  /// A selection, not a product: NaN in the branch that was not taken leaves no trace.
  static Tensor transpose(std::size_t i, const Tensor& cot, const VjpCall& c) {
    const Tensor zero = scalar_like(cot, 0.0);
    return i == 1 ? where(c.in[0], cot, zero) : where(c.in[0], zero, cot);
  }
};
REGISTER_OP(Where);
}  // namespace

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) { return apply<Where>(condition, a, b); }

}  // namespace retort
