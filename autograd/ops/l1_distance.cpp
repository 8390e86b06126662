// autograd/ops/l1_distance.cpp -- D_ij = sum_k |a_ik - b_jk|, without the n m d differences in memory.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pairwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
struct L1Distance : Fused<L1Distance> {
  static constexpr std::string_view name = "l1_distance";
  static void infer(InferCall& call) { infer::distances(call); }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox&) {
    return {sum(abs(unsqueeze(in[0], -2) - unsqueeze(in[1], in[1].rank() - 2)), {-1})};
  }
  static void backward(VjpCall& c);
};

struct L1DistanceBackward : FusedBackward<L1DistanceBackward, L1Distance> {
  static constexpr std::string_view name = "l1_distance_backward";
  static constexpr int outputs = 2, extra = 0;
  static std::uint32_t inputs() { return 3; }
  static void infer(InferCall& call) {
    for (const std::size_t i : {0u, 1u}) call.output(call.in[i].shape(), call.in[i].dtype());
  }
};

void L1Distance::backward(VjpCall& c) {
  Tensor out[2];
  apply(op_of<L1DistanceBackward>(), std::array{c.in[0], c.in[1], c.cot[0]}, {}, out);
  for (const std::size_t i : {0u, 1u})
    if (c.wants[i]) c.grad[i] = out[i];
}

REGISTER_OP(L1Distance);
REGISTER_OP(L1DistanceBackward);
}  // namespace

Tensor l1_distance(const Tensor& a, const Tensor& b) { return apply<L1Distance>(a, b); }

}  // namespace retort
