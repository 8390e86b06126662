// tensor/cpu/optim.cpp -- optimiser and averaging steps in one pass: master, state and 16-bit shadow together.
#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "tensor/cpu/loops.h"
#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

/// The tensors of one update; undefined ones take part with the master's layout and are not touched.
struct Operands {
  const Tensor &master, &grad, &first, &second, &shadow;

  cpu::LoopNest<5> nest() const {
    const auto layout = [&](const Tensor& t) { return t.defined() ? t.layout() : master.layout(); };
    return cpu::LoopNest<5>({master.layout(), layout(grad), layout(first), layout(second), layout(shadow)});
  }
};

/// p, a, b = rule(p, g, a, b) for n elements, where a and b are the first kStates states; the rounded p goes to s when
/// kShadow. Everything comes by value, and steps may be compile-time ones: only so do the compilers vectorise the loop.
template <int kStates, bool kShadow, class T, class S, class Rule, class Step>
void update_run(std::int64_t n, T* __restrict p, const T* __restrict g, T* __restrict a, T* __restrict b,
                S* __restrict s, std::array<Step, 5> step, Rule rule) {
  for (std::int64_t i = 0; i < n; ++i) {
    T x = 0, y = 0;
    if constexpr (kStates > 0) x = a[i * step[2]];
    if constexpr (kStates > 1) y = b[i * step[3]];
    const T updated = rule(p[i * step[0]], g[i * step[1]], x, y);
    p[i * step[0]] = updated;
    if constexpr (kStates > 0) a[i * step[2]] = x;
    if constexpr (kStates > 1) b[i * step[3]] = y;
    if constexpr (kShadow) s[i * step[4]] = static_cast<S>(static_cast<float>(updated));
  }
}

template <class T, int kStates, class S, class Rule>
void update(const Operands& t, Rule rule) {
  constexpr bool kShadow = !std::is_void_v<S>;
  using Stored = std::conditional_t<kShadow, S, float>;
  T* const master = t.master.mutable_data<T>();
  const T* const grad = t.grad.data<T>();
  T* const first = kStates > 0 ? t.first.mutable_data<T>() : nullptr;
  T* const second = kStates > 1 ? t.second.mutable_data<T>() : nullptr;
  Stored* shadow = nullptr;
  if constexpr (kShadow) shadow = t.shadow.mutable_data<S>();
  cpu::for_each_run(t.nest(), [&](std::int64_t n, const auto& at, const auto& step) {
    T* const p = master + at[0];
    T* const a = kStates > 0 ? first + at[2] : nullptr;
    T* const b = kStates > 1 ? second + at[3] : nullptr;
    Stored* const s = kShadow ? shadow + at[4] : nullptr;
    using One = std::integral_constant<std::int64_t, 1>;
    if (std::all_of(step.begin(), step.end(), [](std::int64_t d) { return d == 1; }))
      update_run<kStates, kShadow>(n, p, grad + at[1], a, b, s, std::array<One, 5>{}, rule);
    else
      update_run<kStates, kShadow>(n, p, grad + at[1], a, b, s, step, rule);
  });
}

/// Chooses the loop: `make(T{})` is the rule computing in the master's type.
template <int kStates, class Make>
void update_any(const Operands& t, Make make) {
  if (t.master.numel() == 0) return;
  const auto with = [&]<class T>(T zero) {
    if (!t.shadow.defined())
      update<T, kStates, void>(t, make(zero));
    else if (t.shadow.dtype() == DType::bf16)
      update<T, kStates, BFloat16>(t, make(zero));
    else
      update<T, kStates, Half>(t, make(zero));
  };
  if (t.master.dtype() == DType::f64)
    with(double{});
  else
    with(float{});
}

const Tensor kAbsent;
}  // namespace

/// in: gradient. out: master, momentum (absent when its factor is 0), shadow (may be absent).
RETORT_CPU_KERNEL(sgd_step) {
  const auto& attrs = call.attrs.as<SgdAttrs>();
  const Operands operands{call.out[0], call.in[0], call.out[1], kAbsent, call.out[2]};
  const auto make = [&]<class T>(T) {
    const T lr = static_cast<T>(attrs.lr), mu = static_cast<T>(attrs.momentum), wd = static_cast<T>(attrs.weight_decay);
    return [=, nesterov = attrs.nesterov](T p, T g, T& v, T&) {
      const T d = g + wd * p;
      v = mu * v + d;
      return p - lr * (nesterov ? d + mu * v : v);
    };
  };
  if (operands.first.defined())
    update_any<1>(operands, make);
  else
    update_any<0>(operands, make);
}

/// in: gradient. out: master, first moment, second moment, shadow (may be absent).
RETORT_CPU_KERNEL(adamw_step) {
  const auto& attrs = call.attrs.as<AdamAttrs>();
  const Operands operands{call.out[0], call.in[0], call.out[1], call.out[2], call.out[3]};
  update_any<2>(operands, [&]<class T>(T) {
    const T b1 = static_cast<T>(attrs.beta1), b2 = static_cast<T>(attrs.beta2), eps = static_cast<T>(attrs.eps);
    const T c1 = static_cast<T>(1 - attrs.beta1), c2 = static_cast<T>(1 - attrs.beta2);
    const T rate = static_cast<T>(attrs.lr / attrs.correction1);
    const T scale = static_cast<T>(1 / std::sqrt(attrs.correction2));
    const T keep = static_cast<T>(attrs.decoupled ? 1 - attrs.lr * attrs.weight_decay : 1);
    const T coupled = static_cast<T>(attrs.decoupled ? 0 : attrs.weight_decay);
    return [=](T p, T g, T& m, T& v) {
      const T d = g + coupled * p;
      m = b1 * m + c1 * d;
      v = b2 * v + c2 * d * d;
      return keep * p - rate * m / (std::sqrt(v) * scale + eps);
    };
  });
}

/// in: gradient. out: master, momentum, shadow (may be absent).
RETORT_CPU_KERNEL(lion_step) {
  const auto& attrs = call.attrs.as<LionAttrs>();
  update_any<1>({call.out[0], call.in[0], call.out[1], kAbsent, call.out[2]}, [&]<class T>(T) {
    const T b1 = static_cast<T>(attrs.beta1), b2 = static_cast<T>(attrs.beta2), lr = static_cast<T>(attrs.lr);
    const T c1 = static_cast<T>(1 - attrs.beta1), c2 = static_cast<T>(1 - attrs.beta2);
    const T keep = static_cast<T>(1 - attrs.lr * attrs.weight_decay);
    return [=](T p, T g, T& m, T&) {
      const T direction = b1 * m + c1 * g;
      m = b2 * m + c2 * g;
      return keep * p - lr * static_cast<T>((direction > 0) - (direction < 0));
    };
  });
}

/// in: the followed value. out: average, shadow (may be absent).
RETORT_CPU_KERNEL(ema_step) {
  const double decay = call.attrs.as<EmaAttrs>().decay;
  update_any<0>({call.out[0], call.in[0], kAbsent, kAbsent, call.out[1]}, [decay]<class T>(T) {
    const T keep = static_cast<T>(decay), take = static_cast<T>(1 - decay);
    return [=](T average, T value, T&, T&) { return keep * average + take * value; };
  });
}

/// in: two float tensors of one shape, dtype and layout (or the same twice). out: f64 [1], the sum of their products;
/// blocks of fixed size, added in order.
RETORT_CPU_KERNEL(inner_product) {
  const Tensor &x = call.in[0], &y = call.in[1];
  std::vector<double> partial;
  visit_float(x.dtype(), [&]<class T>(T) {
    const T *const p = x.data<T>(), *const q = y.data<T>();
    const auto product = [p, q](std::int64_t i) {
      return static_cast<double>(static_cast<compute_t<T>>(p[i])) *
             static_cast<double>(static_cast<compute_t<T>>(q[i]));
    };
    constexpr std::int64_t kBlock = 16 * 1024;
    const std::int64_t n = x.numel();
    partial.assign(static_cast<std::size_t>((n + kBlock - 1) / kBlock), 0.0);
    const bool dense = x.layout().dense();
    cpu::parallel_for(dense ? n : 0, kBlock, [&](std::int64_t begin, std::int64_t end) {
      constexpr int kLanes = 16;  // as many sums side by side as fill the vector units; their number fixes the order
      double lane[kLanes] = {};
      std::int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes)
        for (int k = 0; k < kLanes; ++k) lane[k] += product(i + k);
      for (int k = 0; i < end; ++i, ++k) lane[k] += product(i);
      double sum = 0;
      for (const double v : lane) sum += v;
      partial[static_cast<std::size_t>(begin / kBlock)] = sum;
    });
    if (dense) return;
    partial.assign(1, 0.0);
    for_each_offset(x.layout(), [&](std::int64_t o) { partial[0] += product(o); });
  });
  double total = 0;
  for (const double v : partial) total += v;
  *call.out[0].mutable_data<double>() = total;
}

}  // namespace retort
