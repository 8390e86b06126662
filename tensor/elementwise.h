// tensor/elementwise.h -- the one formula of every elementwise op, compiled by the host and by the device.
// A functor computes on float or double; 16-bit floats are widened around it. The op table entry carries its name.
#pragma once
#include <algorithm>
#include <cmath>

#include "tensor/math.h"

namespace retort::elementwise {

#define RETORT_UNARY_FUNCTOR(Name, expression) \
  struct Name {                                \
    template <class T>                         \
    RETORT_HD T operator()(T x) const {        \
      return (expression);                     \
    }                                          \
  }
#define RETORT_BINARY_FUNCTOR(Name, expression) \
  struct Name {                                 \
    template <class T>                          \
    RETORT_HD T operator()(T x, T y) const {    \
      return (expression);                      \
    }                                           \
  }

RETORT_UNARY_FUNCTOR(Neg, -x);
RETORT_UNARY_FUNCTOR(Abs, x < T(0) ? -x : x);
RETORT_UNARY_FUNCTOR(Sign, T((x > T(0)) - (x < T(0))));
RETORT_UNARY_FUNCTOR(Exp, exp_fast(x));
RETORT_UNARY_FUNCTOR(Expm1, expm1_fast(x));
RETORT_UNARY_FUNCTOR(Log, log_fast(x));
RETORT_UNARY_FUNCTOR(Log1p, log1p_fast(x));
RETORT_UNARY_FUNCTOR(Sqrt, std::sqrt(x));
RETORT_UNARY_FUNCTOR(Rsqrt, T(1) / std::sqrt(x));
RETORT_UNARY_FUNCTOR(Square, x* x);
RETORT_UNARY_FUNCTOR(Reciprocal, T(1) / x);
RETORT_UNARY_FUNCTOR(Sin, sin_fast(x));
RETORT_UNARY_FUNCTOR(Cos, cos_fast(x));
RETORT_UNARY_FUNCTOR(Tanh, tanh_fast(x));
RETORT_UNARY_FUNCTOR(Sigmoid, sigmoid_fast(x));
RETORT_UNARY_FUNCTOR(Erf, erf_fast(x));
RETORT_UNARY_FUNCTOR(Relu, x < T(0) ? T(0) : x);  ///< keeps NaN
RETORT_UNARY_FUNCTOR(Silu, x* sigmoid_fast(x));
RETORT_UNARY_FUNCTOR(Softplus, (x > T(0) ? x : T(0)) + log1p_fast(exp_fast(x < T(0) ? x : -x)));
RETORT_UNARY_FUNCTOR(Mish, x* tanh_fast(Softplus{}(x)));
/// x Phi(x), the exact (erf) form.
RETORT_UNARY_FUNCTOR(Gelu, x* T(0.5) * (T(1) + erf_fast(x * T(0.70710678118654752440))));
/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), the form of GPT-2.
RETORT_UNARY_FUNCTOR(GeluTanh,
                     x* T(0.5) * (T(1) + tanh_fast(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x))));
/// First derivatives, so that a backward pass reads memory once: Phi(x) + x phi(x), s (1 + x (1 - s)) and the like.
RETORT_UNARY_FUNCTOR(GeluSlope, T(0.5) * (T(1) + erf_fast(x * T(0.70710678118654752440))) +
                                    x * T(0.39894228040143267794) * exp_fast(T(-0.5) * x * x));
struct SiluSlope {
  template <class T>
  RETORT_HD T operator()(T x) const {
    const T s = sigmoid_fast(x);
    return s * (T(1) + x * (T(1) - s));
  }
};
struct GeluTanhSlope {
  template <class T>
  RETORT_HD T operator()(T x) const {
    const T scale = T(0.79788456080286535588), cubic = T(0.044715), x2 = x * x;
    const T t = tanh_fast(scale * x * (T(1) + cubic * x2));
    return T(0.5) * (T(1) + t + x * (T(1) - t * t) * scale * (T(1) + T(3) * cubic * x2));
  }
};
/// Cotangent x times the slope at y: the activation's output for relu, tanh and sigmoid, its input for the others.
RETORT_BINARY_FUNCTOR(ReluBackward, y > T(0) ? x : T(0));
RETORT_BINARY_FUNCTOR(TanhBackward, x*(T(1) - y * y));
RETORT_BINARY_FUNCTOR(SigmoidBackward, x*(y*(T(1) - y)));
RETORT_BINARY_FUNCTOR(GeluBackward, x* GeluSlope{}(y));
RETORT_BINARY_FUNCTOR(SiluBackward, x* SiluSlope{}(y));
RETORT_BINARY_FUNCTOR(GeluTanhBackward, x* GeluTanhSlope{}(y));
RETORT_UNARY_FUNCTOR(Floor, std::floor(x));
RETORT_UNARY_FUNCTOR(Round, std::nearbyint(x));

RETORT_BINARY_FUNCTOR(Add, x + y);
RETORT_BINARY_FUNCTOR(Sub, x - y);
RETORT_BINARY_FUNCTOR(Mul, x* y);
RETORT_BINARY_FUNCTOR(Div, x / y);
RETORT_BINARY_FUNCTOR(Pow, pow_fast(x, y));
/// NaN when either is. Two selections, not `||`, whose branch would keep loops scalar.
RETORT_BINARY_FUNCTOR(Maximum, x != x ? x : (x > y ? x : y));
RETORT_BINARY_FUNCTOR(Minimum, x != x ? x : (x < y ? x : y));

RETORT_BINARY_FUNCTOR(Equal, x == y);
RETORT_BINARY_FUNCTOR(NotEqual, x != y);
RETORT_BINARY_FUNCTOR(Less, x < y);
RETORT_BINARY_FUNCTOR(LessEqual, x <= y);

/// std::isnan and std::isfinite, without calls that keep a loop scalar.
RETORT_UNARY_FUNCTOR(Isnan, x != x);
RETORT_UNARY_FUNCTOR(Isfinite, x - x == T(0));
RETORT_UNARY_FUNCTOR(LogicalNot, !x);
RETORT_BINARY_FUNCTOR(LogicalAnd, x&& y);
RETORT_BINARY_FUNCTOR(LogicalOr, x || y);

#undef RETORT_UNARY_FUNCTOR
#undef RETORT_BINARY_FUNCTOR

template <class C>
struct Clamp {
  C low, high;
  RETORT_HD C operator()(C x) const { return x < low ? low : x > high ? high : x; }
};
template <class C>
struct LeakyRelu {
  C slope;
  RETORT_HD C operator()(C x) const { return x > C(0) ? x : slope * x; }
};

}  // namespace retort::elementwise
