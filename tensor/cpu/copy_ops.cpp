// tensor/cpu/copy_ops.cpp -- CPU kernels of the ops and writers that only move or convert elements.
#include "tensor/cpu/copy.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
/// Same shape, any two dtypes, any strides.
void convert(const KernelCall& call) {
  visit_any(call.in[0].dtype(), [&]<class S>(S) {
    visit_any(call.out[0].dtype(), [&]<class D>(D) {
      cpu::map_unary<S, D>(call.in[0], call.out[0], [](auto v) { return static_cast<compute_t<D>>(v); });
    });
  });
}
/// Same shape and dtype, any strides.
void rearrange(const KernelCall& call) {
  const Tensor &x = call.in[0], &y = call.out[0];
  cpu::copy_elements(x, {x.shape(), x.strides(), 0}, y, {y.shape(), y.strides(), 0});
}
}  // namespace

RETORT_CPU_KERNEL(cast) { convert(call); }
RETORT_CPU_KERNEL(copy) { call.in[0].dtype() == call.out[0].dtype() ? rearrange(call) : convert(call); }
RETORT_CPU_KERNEL(contiguous) { rearrange(call); }
RETORT_CPU_KERNEL(channels_last) { rearrange(call); }

}  // namespace retort
