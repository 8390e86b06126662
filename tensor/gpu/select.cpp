// tensor/gpu/select.cpp -- where, bounds, predicates and logic on GPUs.
#include "cuda_kernels/select.h"

#include <algorithm>

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// An operand, broadcast to the result's shape, in the order of axes in which the result is row-major.
Layout operand(const Tensor& t, const Tensor& y) {
  return on_gpu::permuted(broadcast_layout({t.shape(), t.strides(), 0}, y.shape()),
                          on_gpu::row_major_order(y.layout()));
}

/// The input as the result lies in memory.
Tensor like_result(const Call& call) {
  const Tensor &x = call.in[0], &y = call.out[0];
  if (x.layout().dense() && x.strides() == y.strides()) return x;
  const Tensor same = Tensor::empty(y.shape(), x.dtype(), y.device(), &y.strides());
  on_gpu::copy(call, x, {x.shape(), x.strides(), 0}, same, {same.shape(), same.strides(), 0});
  return same;
}

void predicate(const Call& call, kernels::Test test) {
  const kernels::Type type =
      test == kernels::Test::logical_not ? kernels::Type::boolean : on_gpu::training(call, call.in[0]);
  const Tensor x = like_result(call);
  kernels::predicate({test, type, on_gpu::address(x), on_gpu::address(call.out[0]), x.numel()}, call.stream);
}

void logic(const Call& call, bool conjunction) {
  const Tensor& y = call.out[0];
  const Layout a = operand(call.in[0], y), b = operand(call.in[1], y);
  kernels::logic({conjunction, on_gpu::address(call.in[0]), on_gpu::address(call.in[1]), on_gpu::address(y),
                  on_gpu::strided(a.shape, a, b)},
                 call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(where) {
  const Tensor& y = call.out[0];
  const Layout condition = operand(call.in[0], y), a = operand(call.in[1], y), b = operand(call.in[2], y);
  kernels::Where args{static_cast<int>(size_of(y.dtype())), on_gpu::address(call.in[0]), on_gpu::address(call.in[1]),
                      on_gpu::address(call.in[2]),          on_gpu::address(y),          {}};
  args.shape.rank = a.shape.rank();
  for (int axis = 0; axis < a.shape.rank(); ++axis) {
    args.shape.extent[axis] = a.shape[axis];
    args.shape.first[axis] = condition.strides[axis];
    args.shape.second[axis] = a.strides[axis];
    args.third[axis] = b.strides[axis];
  }
  kernels::where(args, call.stream);
}

RETORT_GPU_KERNEL(clamp) {
  const auto& bounds = call.attrs.as<ClampAttrs>();
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const Tensor x = like_result(call);
  kernels::clamp({type, on_gpu::address(x), on_gpu::address(call.out[0]), x.numel(), static_cast<float>(bounds.low),
                  static_cast<float>(bounds.high)},
                 call.stream);
}

RETORT_GPU_KERNEL(leaky_relu) {
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const Tensor x = like_result(call);
  kernels::leaky_relu(
      {type, on_gpu::address(x), on_gpu::address(call.out[0]), x.numel(), static_cast<float>(call.attrs.as<double>())},
      call.stream);
}

RETORT_GPU_KERNEL(isnan) { predicate(call, kernels::Test::isnan); }
RETORT_GPU_KERNEL(isfinite) { predicate(call, kernels::Test::isfinite); }
RETORT_GPU_KERNEL(logical_not) { predicate(call, kernels::Test::logical_not); }
RETORT_GPU_KERNEL(logical_and) { logic(call, true); }
RETORT_GPU_KERNEL(logical_or) { logic(call, false); }

}  // namespace retort
