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
  if (dst.numel() == 0) return;
  const cpu::LoopNest<2> nest({dst.layout(), src.layout()});
  visit_float(dst.dtype(), [&]<class D>(D) {
    visit_float(src.dtype(), [&]<class S>(S) {
      using C = compute_t<D>;
      D* to = dst.mutable_data<D>();
      const S* from = src.data<S>();
      cpu::for_each_run(nest, [&](std::int64_t n, const auto& at, const auto& step) {
        D* o = to + at[0];
        const S* a = from + at[1];
        const auto sum = [](D d, S v) { return static_cast<D>(static_cast<C>(d) + static_cast<C>(v)); };
        if (step[0] == 1 && step[1] == 1)
          for (std::int64_t i = 0; i < n; ++i) o[i] = sum(o[i], a[i]);
        else
          for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = sum(o[i * step[0]], a[i * step[1]]);
      });
    });
  });
}

RETORT_CPU_KERNEL(scale) {
  const Tensor& dst = call.out[0];
  const double factor = call.attrs.as<double>();
  visit_float(dst.dtype(), [&]<class T>(T) {
    const auto f = static_cast<compute_t<T>>(factor);
    cpu::map_unary<T, T>(dst, dst, [f](auto v) { return v * f; });
  });
}

}  // namespace retort
