// tensor/cpu/reduce.cpp -- CPU kernels of reductions over axes.
#include <cmath>
#include <limits>
#include <type_traits>

#include "tensor/attrs.h"
#include "tensor/cpu/fold.h"
#include "tensor/elementwise.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

template <class T>
struct SumOf {
  using Acc = std::conditional_t<std::is_integral_v<T>, std::int64_t, compute_t<T>>;
  Acc divisor;
  Acc identity() const { return Acc(0); }
  Acc of(T v) const { return static_cast<Acc>(v); }
  Acc join(Acc a, Acc b) const { return a + b; }
  Acc finish(Acc total) const { return total / divisor; }
};

template <class T, bool largest>
struct ExtremeOf {
  using Acc = compute_t<T>;
  using Limits = std::numeric_limits<Acc>;
  Acc identity() const {
    if constexpr (Limits::has_infinity) return largest ? -Limits::infinity() : Limits::infinity();
    return largest ? Limits::lowest() : Limits::max();
  }
  Acc of(T v) const { return static_cast<Acc>(v); }
  Acc join(Acc a, Acc b) const {
    if constexpr (largest) return elementwise::Maximum{}(a, b);
    return elementwise::Minimum{}(a, b);
  }
  Acc finish(Acc v) const { return v; }
};

/// Bytes, not bool: so the loops vectorise.
template <bool conjunction>
struct LogicalOf {
  using Acc = std::uint8_t;
  Acc identity() const { return conjunction; }
  Acc of(bool v) const { return v; }
  Acc join(Acc a, Acc b) const { return conjunction ? a & b : a | b; }
  Acc finish(Acc v) const { return v; }
};

/// sum e^(x - shift) from one kept position on. Exponentials go through a buffer, as lanes would keep them scalar.
template <class T>
compute_t<T> exp_sum_at(const T* p, compute_t<T> shift, const cpu::FoldPlan& plan) {
  using C = compute_t<T>;
  constexpr std::int64_t kChunk = 512;
  alignas(64) std::array<C, kChunk> e;
  C total = 0;
  for_each_offset(plan.outer, [&](std::int64_t o) {
    for (std::int64_t i = 0; i < plan.run; i += kChunk) {
      const std::int64_t n = std::min(kChunk, plan.run - i);
      const T* x = p + o + i * plan.step;
      for (std::int64_t k = 0; k < n; ++k)
        e[static_cast<std::size_t>(k)] = exp_fast(static_cast<C>(x[k * plan.step]) - shift);
      total += cpu::fold_run(SumOf<C>{C(1)}, e.data(), n, 1);
    }
  });
  return total;
}

std::uint32_t axes_of(const KernelCall& call) { return call.attrs.as<ReduceAttrs>().axes; }

template <bool largest>
void extreme(const KernelCall& call) {
  visit_any(call.in[0].dtype(), [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>)
      cpu::fold<T, T>(ExtremeOf<T, largest>{}, call.in[0], call.out[0], axes_of(call));
  });
}

/// The first of n elements that equals `value` or is NaN; n when none does. Whole blocks are tested before their
/// elements are.
template <class C, class T>
std::int64_t first_hit(const T* p, std::int64_t n, std::int64_t stride, C value) {
  constexpr std::int64_t kBlock = 64;
  const auto hit = [&](std::int64_t i) {
    const C v = static_cast<C>(p[i * stride]);
    return int(v == value) | int(v != v);
  };
  std::int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    int any = 0;
    for (std::int64_t k = 0; k < kBlock; ++k) any |= hit(i + k);
    if (any) break;
  }
  while (i < n && !hit(i)) ++i;
  return i;
}

/// Two passes whose loops vectorise: the extreme, then the first position that holds it.
template <bool largest>
void index_of_extreme(const KernelCall& call) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const cpu::FoldPlan plan(x.layout(), axes_of(call));
  std::int64_t* out = y.mutable_data<std::int64_t>();
  visit_any(x.dtype(), [&]<class T>(T) {
    using Fold = ExtremeOf<std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>, largest>;
    const T* px = x.data<T>();
    cpu::for_each_kept(plan, [&](std::int64_t i, std::int64_t o) {
      const auto best = cpu::fold_at(Fold{}, px + o, plan);
      out[i] = first_hit(px + o, plan.run, plan.step, best);
    });
  });
}

}  // namespace

RETORT_CPU_KERNEL(sum) {
  visit_any(call.in[0].dtype(), [&]<class T>(T) {
    using Out = std::conditional_t<std::is_integral_v<T>, std::int64_t, T>;
    const SumOf<T> f{static_cast<typename SumOf<T>::Acc>(call.attrs.as<ReduceAttrs>().divisor)};
    cpu::fold<T, Out>(f, call.in[0], call.out[0], axes_of(call));
  });
}

RETORT_CPU_KERNEL(max) { extreme<true>(call); }
RETORT_CPU_KERNEL(min) { extreme<false>(call); }
RETORT_CPU_KERNEL(argmax) { index_of_extreme<true>(call); }
RETORT_CPU_KERNEL(argmin) { index_of_extreme<false>(call); }
RETORT_CPU_KERNEL(all) { cpu::fold<bool, bool>(LogicalOf<true>{}, call.in[0], call.out[0], axes_of(call)); }
RETORT_CPU_KERNEL(any) { cpu::fold<bool, bool>(LogicalOf<false>{}, call.in[0], call.out[0], axes_of(call)); }

RETORT_CPU_KERNEL(logsumexp) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const cpu::FoldPlan plan(x.layout(), axes_of(call));
  visit_float(x.dtype(), [&]<class T>(T) {
    const T* px = x.numel() > 0 ? x.data<T>() : nullptr;
    T* py = y.mutable_data<T>();
    cpu::for_each_kept(plan, [&](std::int64_t i, std::int64_t o) {
      const auto top = cpu::fold_at(ExtremeOf<T, true>{}, px + o, plan);
      // An infinite or NaN maximum is the result; subtracting it would give NaN.
      py[i] = std::isfinite(top) ? static_cast<T>(top + log_fast(exp_sum_at(px + o, top, plan))) : static_cast<T>(top);
    });
  });
}

}  // namespace retort
