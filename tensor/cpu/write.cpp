// tensor/cpu/write.cpp -- CPU kernels behind the named writers.
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

RETORT_CPU_KERNEL(fill) {
  const Tensor& dst = call.out[0];
  const double value = call.attrs.as<double>();
  visit_any(dst.dtype(), [&]<class T>(T) {
    const T v = static_cast<T>(static_cast<compute_t<T>>(value));
    if (dst.numel() == 0) return;
    const cpu::LoopNest<1> nest({dst.layout()});
    T* p = dst.mutable_data<T>();
    cpu::for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
      T* o = p + at[0];
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = v;
    });
  });
}

RETORT_CPU_KERNEL(accumulate) {
  const Tensor &src = call.in[0], &dst = call.out[0];
  visit_float(dst.dtype(),
              [&]<class T>(T) { cpu::map_binary<T, T>(dst, src, dst, [](auto a, auto b) { return a + b; }); });
}

}  // namespace retort
