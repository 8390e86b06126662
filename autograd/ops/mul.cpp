// autograd/ops/mul.cpp -- mul(a, b) = a b per element, broadcasting, any float or integer dtype.
#include "autograd/rule.h"

namespace retort {

namespace {
struct Mul : Bilinear<Mul> {
  static constexpr std::string_view name = "mul";
  static constexpr bool broadcasts = true;
  static void infer(InferCall& call) { infer::arithmetic(call); }
  static Saves saves(std::uint32_t tracked, const AttrBox&) {
    return {(tracked & 1u ? 2u : 0u) | (tracked & 2u ? 1u : 0u), 0, 0};
  }
  static Tensor transpose0(const Tensor& cot, const Tensor& b, const VjpCall&) { return mul(cot, b); }
  static Tensor transpose1(const Tensor& cot, const Tensor& a, const VjpCall&) { return mul(cot, a); }
};
REGISTER_OP(Mul);
}  // namespace

Tensor mul(const Tensor& a, const Tensor& b) { return apply<Mul>(a, b); }

}  // namespace retort
