// tensor/cpu/copy_ops.cpp -- CPU kernels of the ops that only move or convert elements.
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

RETORT_CPU_KERNEL(cast) {
  visit_any(call.in[0].dtype(), [&]<class S>(S) {
    visit_any(call.out[0].dtype(), [&]<class D>(D) {
      cpu::map_unary<S, D>(call.in[0], call.out[0], [](auto v) { return static_cast<compute_t<D>>(v); });
    });
  });
}

namespace {
void copy_elements(const KernelCall& call) {
  visit_any(call.in[0].dtype(),
            [&]<class T>(T) { cpu::map_unary<T, T>(call.in[0], call.out[0], [](auto v) { return v; }); });
}
}  // namespace

RETORT_CPU_KERNEL(contiguous) { copy_elements(call); }
RETORT_CPU_KERNEL(channels_last) { copy_elements(call); }

}  // namespace retort
