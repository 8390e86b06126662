// autograd/ops/linear.cpp -- x w^T + bias as one product.
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

namespace {
/// [rows, in], [out, in], [out] or absent -> [rows, out].
struct LinearOp : General<LinearOp> {
  static constexpr std::string_view name = "linear";
  static Saves saves(std::uint32_t tracked, const AttrBox&) {
    return {(tracked & 1u ? 2u : 0u) | (tracked & 2u ? 1u : 0u), 0, 0};
  }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, call.in.size());
    infer::require_rank(call, 0, 2);
    infer::require_rank(call, 1, 2);
    const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2];
    if (x.shape()[1] != w.shape()[1])
      throw ShapeError("linear: input and weight differ in width; got {} and {}", x.str(), w.str());
    if (bias.defined() && !(bias.shape() == Shape{w.shape()[0]}))
      throw ShapeError("linear: the bias must have {} elements; got {}", w.shape()[0], bias.str());
    call.output({x.shape()[0], w.shape()[0]}, x.dtype());
  }
  static void vjp(VjpCall& c) {
    if (c.wants[0]) c.grad[0] = matmul(c.cot[0], c.in[1]);
    if (c.wants[1]) c.grad[1] = matmul(c.cot[0], c.in[0], true, false);
    if (c.wants[2]) c.grad[2] = sum(c.cot[0], {0});
  }
  static void jvp(JvpCall& c) {
    Tensor t;
    const auto plus = [&t](const Tensor& u) { t = t.defined() ? add(t, u) : u; };
    if (c.tangent[0].defined()) plus(matmul(c.tangent[0], c.in[1], false, true));
    if (c.tangent[1].defined()) plus(matmul(c.in[0], c.tangent[1], false, true));
    if (c.tangent[2].defined()) plus(broadcast_to(c.tangent[2], c.out[0].shape()));
    c.out_tangent[0] = t;
  }
};
REGISTER_OP(LinearOp);
}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias) {
  if (x.rank() == 2) return apply<LinearOp>(x, w, bias);
  if (x.rank() < 1) throw ShapeError("linear: the input needs at least one axis; got {}", x.str());
  Shape out = x.shape();
  const Tensor y =
      apply<LinearOp>(reshape(x, {x.numel() / std::max<std::int64_t>(out.back(), 1), out.back()}), w, bias);
  out[out.rank() - 1] = y.shape()[1];
  return reshape(y, out);
}

}  // namespace retort
