// autograd/ops/matmul.cpp -- op(a) op(b) over the last two axes, leading axes broadcast.
#include "autograd/ops/linalg.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
struct Matmul : Bilinear<Matmul> {
  static constexpr std::string_view name = "matmul";
  static constexpr bool broadcasts = true;

  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    infer::require_same_dtype(call, 0, 2);
    const auto& t = call.attrs.as<MatmulAttrs>();
    const Tensor &a = call.in[0], &b = call.in[1];
    const auto misfit = [&] {
      throw ShapeError("{}: inner extents differ; got {}{} and {}{}", call.name, a.str(), t.transpose_a ? "^T" : "",
                       b.str(), t.transpose_b ? "^T" : "");
    };
    if (a.rank() < 2 || b.rank() < 2) misfit();
    Shape batch_a = a.shape(), batch_b = b.shape();
    const std::int64_t m = batch_a[a.rank() - (t.transpose_a ? 1 : 2)],
                       ka = batch_a[a.rank() - (t.transpose_a ? 2 : 1)];
    const std::int64_t kb = batch_b[b.rank() - (t.transpose_b ? 1 : 2)],
                       n = batch_b[b.rank() - (t.transpose_b ? 2 : 1)];
    if (ka != kb) misfit();
    for (Shape* s : {&batch_a, &batch_b}) {
      s->erase(s->rank() - 1);
      s->erase(s->rank() - 1);
    }
    Shape out = broadcast_shapes(batch_a, batch_b, call.name);
    out.push_back(m);
    out.push_back(n);
    call.output(out, a.dtype());
  }
  static Tensor transpose0(const Tensor& cot, const Tensor& b, const VjpCall& c) {
    const auto& t = c.attrs.as<MatmulAttrs>();
    return t.transpose_a ? matmul(b, cot, t.transpose_b, true) : matmul(cot, b, false, !t.transpose_b);
  }
  static Tensor transpose1(const Tensor& cot, const Tensor& a, const VjpCall& c) {
    const auto& t = c.attrs.as<MatmulAttrs>();
    return t.transpose_b ? matmul(cot, a, true, t.transpose_a) : matmul(a, cot, !t.transpose_a, false);
  }
};
REGISTER_OP(Matmul);
}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a, bool transpose_b) {
  return apply_with<Matmul>(AttrBox::of(MatmulAttrs{transpose_a, transpose_b}), a, b);
}

}  // namespace retort
