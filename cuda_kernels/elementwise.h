// cuda_kernels/elementwise.h -- the ops of tensor/elementwise.h on f32 and bf16 in device memory.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

// X(name of the op, functor)
// clang-format off
#define RETORT_UNARY_OPS(X)                                                                                    \
  X(neg, Neg) X(abs, Abs) X(sign, Sign) X(exp, Exp) X(expm1, Expm1) X(log, Log) X(log1p, Log1p) X(sqrt, Sqrt)  \
  X(rsqrt, Rsqrt) X(square, Square) X(reciprocal, Reciprocal) X(sin, Sin) X(cos, Cos) X(tanh, Tanh)            \
  X(sigmoid, Sigmoid) X(erf, Erf) X(relu, Relu) X(silu, Silu) X(softplus, Softplus) X(mish, Mish) X(gelu, Gelu) \
  X(gelu_tanh, GeluTanh) X(gelu_slope, GeluSlope) X(silu_slope, SiluSlope) X(gelu_tanh_slope, GeluTanhSlope)   \
  X(floor, Floor) X(round, Round)
#define RETORT_BINARY_OPS(X)                                                                                   \
  X(add, Add) X(sub, Sub) X(mul, Mul) X(div, Div) X(pow, Pow) X(maximum, Maximum) X(minimum, Minimum)          \
  X(relu_backward, ReluBackward) X(tanh_backward, TanhBackward) X(sigmoid_backward, SigmoidBackward)           \
  X(gelu_backward, GeluBackward) X(silu_backward, SiluBackward) X(gelu_tanh_backward, GeluTanhBackward)
#define RETORT_COMPARISON_OPS(X) X(equal, Equal) X(not_equal, NotEqual) X(less, Less) X(less_equal, LessEqual)
// clang-format on

#define RETORT_OP_NAME(name, Functor) name,
enum class UnaryOp : std::uint8_t { RETORT_UNARY_OPS(RETORT_OP_NAME) };
enum class BinaryOp : std::uint8_t { RETORT_BINARY_OPS(RETORT_OP_NAME) RETORT_COMPARISON_OPS(RETORT_OP_NAME) };
#undef RETORT_OP_NAME

/// y[i] = op(x[i]) for n elements; 16 bytes at a time where both are aligned to that.
struct Unary {
  UnaryOp op;
  Type type;
  const void* x;
  void* y;
  std::int64_t n;
};
RETORT_LAUNCHER(unary, Unary)

/// y = op(a, b), y dense in row-major order over `shape`, a and b with its steps; f32 or bf16. Comparisons write bool,
/// and take i64 too.
struct Binary {
  BinaryOp op;
  Type type;
  const void *a, *b;
  void* y;
  StridedPair shape;
};
RETORT_LAUNCHER(binary, Binary)

}  // namespace retort::kernels
