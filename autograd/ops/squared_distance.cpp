// autograd/ops/squared_distance.cpp -- D_ij = |a_i - b_j|^2. With cotangents G: a_i gets 2 sum_j G_ij (a_i - b_j), b_j
// the same with its sign turned; both from matrix products about a common centre, which no difference depends on.
#include "autograd/level.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/pairwise.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
struct SquaredDistance : General<SquaredDistance> {
  static constexpr std::string_view name = "squared_distance";
  static Saves saves(std::uint32_t, const AttrBox&) { return {3, 0, 0}; }
  static void infer(InferCall& call) {
    infer::distances(call);
    const Tensor &a = call.in[0], &b = call.in[1];
    const std::int64_t rows = a.size(-2) + b.size(-2), d = a.size(-1);
    call.scratch((rows * (d + 1) + d) * size_of(a.dtype()));
  }
  /// Far from the origin the products below would cancel; the centre is a constant of the map.
  static Tensor centre(const Tensor& b) { return stop_gradient(mean(b, {-2}, true)); }
  static void vjp(VjpCall& c) {
    const Tensor o = centre(c.in[1]), a = c.in[0] - o, b = c.in[1] - o;
    const Tensor g = c.cot[0] * 2.0;
    if (c.wants[0]) c.grad[0] = a * sum(g, {-1}, true) - matmul(g, b);
    if (c.wants[1]) c.grad[1] = b * matrix_transpose(sum(g, {-2}, true)) - matmul(g, a, true);
  }
  static void jvp(JvpCall& c) {
    const Tensor o = centre(c.in[1]), a = c.in[0] - o, b = c.in[1] - o;
    Tensor t;
    if (const Tensor& da = c.tangent[0]; da.defined()) t = sum(a * da, {-1}, true) - matmul(da, b, false, true);
    if (const Tensor& db = c.tangent[1]; db.defined()) {
      const Tensor from_b = matrix_transpose(sum(b * db, {-1}, true)) - matmul(a, db, false, true);
      t = t.defined() ? t + from_b : from_b;
    }
    c.out_tangent[0] = t * 2.0;
  }
};
REGISTER_OP(SquaredDistance);
}  // namespace

Tensor squared_distance(const Tensor& a, const Tensor& b) { return apply<SquaredDistance>(a, b); }

}  // namespace retort
