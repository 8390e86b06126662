// autograd/ops/sinkhorn.cpp -- P_ij = exp((f_i + g_j - C_ij) / e) with potentials f, g fitted in turn to the marginals.
// At the fixed point dP = P o (df + dg - dC) / e, where df, dg keep the marginals: a symmetric system with blocks
// diag(P 1), P, P^T, diag(P^T 1), singular along (1, -1).
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg_checks.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/transport.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
/// Inputs of both ops: cost [.., n, m], rows [.., n], columns [.., m], of one batch; one plan like the cost.
void infer_plan(InferCall& call) {
  infer::require_matrix(call, 0);
  infer::require_same_dtype(call, 0, 3);
  const Tensor& cost = call.in[0];
  for (const int i : {1, 2}) {
    const Tensor& weights = call.in[static_cast<std::size_t>(i)];
    if (!(weights.shape() == infer::with_last(cost.shape(), {cost.size(i - 3)})))
      throw ShapeError("{}: needs one weight per {} of the cost; got {} and {}", call.name, i == 1 ? "row" : "column",
                       weights.str(), cost.str());
  }
  call.output(cost.shape(), cost.dtype());
  call.scratch((call.in[1].numel() + call.in[2].numel()) * size_of(cost.dtype()));
}

struct Sinkhorn : Fused<Sinkhorn> {
  static constexpr std::string_view name = "sinkhorn";
  static void infer(InferCall& call) { infer_plan(call); }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& a = attrs.as<SinkhornAttrs>();
    const Tensor scaled = in[0] * (-1 / a.epsilon), log_rows = as_column(log(in[1])), log_columns = as_row(log(in[2]));
    Tensor f, g;
    for (int i = 0; i < a.iterations; ++i) {
      f = log_rows - logsumexp(g.defined() ? scaled + g : scaled, {-1}, true);
      g = log_columns - logsumexp(scaled + f, {-2}, true);
    }
    return {exp(scaled + f + g)};
  }
};
REGISTER_OP(Sinkhorn);

/// (x, y) with x P 1 + P y = right_rows and P^T x + y P^T 1 = right_columns, all as columns: the Schur complement, made
/// regular along its null vector 1.
struct Potentials {
  Tensor f, g;
};
Potentials balanced(const Tensor& p, const Tensor& right_rows, const Tensor& right_columns) {
  const Tensor rows = sum(p, {-1}, true), columns = matrix_transpose(sum(p, {-2}, true));
  const Tensor identity = triangle(triangle(Tensor::full({p.size(-1), p.size(-1)}, 1.0, p.dtype(), p.device())), true);
  const Tensor system = columns * identity - matmul(p, p / rows, true) + matmul(columns, columns, false, true);
  const Tensor g = solve(system, right_columns - matmul(p, right_rows / rows, true));
  return {(right_rows - matmul(p, g)) / rows, g};
}

struct SinkhornImplicit : General<SinkhornImplicit> {
  static constexpr std::string_view name = "sinkhorn_implicit";
  static Saves saves(std::uint32_t, const AttrBox&) { return {0, 1, 6}; }
  static void infer(InferCall& call) { infer_plan(call); }
  static void vjp(VjpCall& c) {
    const double epsilon = c.attrs.as<SinkhornAttrs>().epsilon;
    const Tensor& p = c.out[0];
    const Tensor h = p * c.cot[0] * (1 / epsilon);
    const auto [f, g] = balanced(p, sum(h, {-1}, true), matrix_transpose(sum(h, {-2}, true)));
    if (c.wants[0]) c.grad[0] = (f + matrix_transpose(g)) * p - h;
    if (c.wants[1]) c.grad[1] = reshape(f, c.in[1].shape()) * epsilon;
    if (c.wants[2]) c.grad[2] = reshape(g, c.in[2].shape()) * epsilon;
  }
  static void jvp(JvpCall& c) {
    const double epsilon = c.attrs.as<SinkhornAttrs>().epsilon;
    const Tensor &p = c.out[0], &dc = c.tangent[0];
    const Tensor moved = dc.defined() ? p * dc : Tensor::zeros(p.shape(), p.dtype(), p.device());
    Tensor rows = sum(moved, {-1}, true), columns = matrix_transpose(sum(moved, {-2}, true));
    if (c.tangent[1].defined()) rows = rows + as_column(c.tangent[1]) * epsilon;
    if (c.tangent[2].defined()) columns = columns + as_column(c.tangent[2]) * epsilon;
    const auto [f, g] = balanced(p, rows, columns);
    c.out_tangent[0] = ((f + matrix_transpose(g)) * p - moved) * (1 / epsilon);
  }
};
REGISTER_OP(SinkhornImplicit);

/// Weights of every matrix of the batch, summing to 1.
Tensor marginal(const Tensor& weights, const Tensor& cost, int axis) {
  const Shape shape = infer::with_last(cost.shape(), {cost.size(axis)});
  if (!weights.defined())
    return Tensor::full(shape, 1.0 / static_cast<double>(cost.size(axis)), cost.dtype(), cost.device());
  return broadcast_to(weights / sum(weights, {-1}, true), shape);
}
}  // namespace

Tensor sinkhorn(const Tensor& cost, const Tensor& rows, const Tensor& columns, const SinkhornOptions& options) {
  if (!(options.epsilon > 0) || options.iterations < 1)
    throw ValueError("sinkhorn: needs epsilon > 0 and at least one iteration; got {} and {}", options.epsilon,
                     options.iterations);
  if (is_float(cost.dtype()) && size_of(cost.dtype()) == 2) {
    const auto wide = [](const Tensor& t) { return t.defined() ? cast(t, DType::f32) : t; };
    return cast(sinkhorn(wide(cost), wide(rows), wide(columns), options), cost.dtype());
  }
  if (cost.rank() < 2 || cost.size(-1) < 1 || cost.size(-2) < 1)
    throw ShapeError("sinkhorn: needs costs [.., n >= 1, m >= 1]; got {}", cost.str());
  const Tensor a = marginal(rows, cost, -2), b = marginal(columns, cost, -1);
  const AttrBox attrs = AttrBox::of(SinkhornAttrs{options.epsilon, options.iterations});
  return options.gradient == SinkhornGradient::unrolled ? apply_with<Sinkhorn>(attrs, cost, a, b)
                                                        : apply_with<SinkhornImplicit>(attrs, cost, a, b);
}

}  // namespace retort
