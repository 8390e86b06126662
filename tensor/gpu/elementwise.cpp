// tensor/gpu/elementwise.cpp -- the elementwise ops on GPUs, entered from the launchers' own lists.
#include "cuda_kernels/elementwise.h"

#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// One run over memory: the input lies as the result does, or a copy of it.
void unary(const Call& call, kernels::UnaryOp op) {
  const Tensor& y = call.out[0];
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  Tensor x = call.in[0];
  if (!x.layout().dense() || !(x.strides() == y.strides())) {
    x = Tensor::empty(y.shape(), y.dtype(), y.device(), &y.strides());
    on_gpu::copy(call, call.in[0], {call.in[0].shape(), call.in[0].strides(), 0}, x, {x.shape(), x.strides(), 0});
  }
  kernels::unary({op, type, on_gpu::address(x), on_gpu::address(y), y.numel()}, call.stream);
}

/// In the order of axes in which the result is row-major.
void binary(const Call& call, kernels::BinaryOp op, bool comparison) {
  const Tensor& y = call.out[0];
  const bool whole = comparison && call.in[0].dtype() == DType::i64;
  const kernels::Type type = whole ? kernels::Type::i64 : on_gpu::training(call, call.in[0]);
  const Dims order = on_gpu::row_major_order(y.layout());
  const auto operand = [&](const Tensor& t) {
    return on_gpu::permuted(broadcast_layout({t.shape(), t.strides(), 0}, y.shape()), order);
  };
  const Layout a = operand(call.in[0]), b = operand(call.in[1]);
  kernels::binary({op, type, on_gpu::address(call.in[0]), on_gpu::address(call.in[1]), on_gpu::address(y),
                   on_gpu::strided(a.shape, a, b)},
                  call.stream);
}

#define RETORT_UNARY(op, Functor)                                            \
  struct Unary_##op {                                                        \
    static constexpr std::string_view name = #op;                            \
    static void run(const Call& call) { unary(call, kernels::UnaryOp::op); } \
  };                                                                         \
  [[maybe_unused]] const bool unary_##op##_registered = on_gpu::enter<Unary_##op>();
RETORT_UNARY_OPS(RETORT_UNARY)
#undef RETORT_UNARY

#define RETORT_BINARY(op, comparison)                                                      \
  struct Binary_##op {                                                                     \
    static constexpr std::string_view name = #op;                                          \
    static void run(const Call& call) { binary(call, kernels::BinaryOp::op, comparison); } \
  };                                                                                       \
  [[maybe_unused]] const bool binary_##op##_registered = on_gpu::enter<Binary_##op>();
#define RETORT_PLAIN(op, Functor) RETORT_BINARY(op, false)
#define RETORT_COMPARISON(op, Functor) RETORT_BINARY(op, true)
RETORT_BINARY_OPS(RETORT_PLAIN)
RETORT_COMPARISON_OPS(RETORT_COMPARISON)
#undef RETORT_COMPARISON
#undef RETORT_PLAIN
#undef RETORT_BINARY

}  // namespace

}  // namespace retort
