// tensor/cpu/elementwise.cpp -- CPU kernels of the elementwise ops: each is its functor inside a vectorised loop.
#include "tensor/elementwise.h"

#include "tensor/attrs.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

template <class F>
void unary_float(const KernelCall& call) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { cpu::map_unary<T, T>(call.in[0], call.out[0], F{}); });
}
template <class F>
void binary_number(const KernelCall& call) {
  visit_any(call.in[0].dtype(), [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) cpu::map_binary<T, T>(call.in[0], call.in[1], call.out[0], F{});
  });
}
template <class F>
void binary_float(const KernelCall& call) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { cpu::map_binary<T, T>(call.in[0], call.in[1], call.out[0], F{}); });
}
template <class F>
void comparison(const KernelCall& call) {
  visit_any(call.in[0].dtype(),
            [&]<class T>(T) { cpu::map_binary<T, bool>(call.in[0], call.in[1], call.out[0], F{}); });
}
template <class F>
void predicate(const KernelCall& call) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { cpu::map_unary<T, bool>(call.in[0], call.out[0], F{}); });
}

void clamp(const KernelCall& call) {
  const auto& bounds = call.attrs.as<ClampAttrs>();
  visit_float(call.in[0].dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const elementwise::Clamp<C> f{static_cast<C>(bounds.low), static_cast<C>(bounds.high)};
    cpu::map_unary<T, T>(call.in[0], call.out[0], f);
  });
}
void leaky_relu(const KernelCall& call) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    cpu::map_unary<T, T>(call.in[0], call.out[0], elementwise::LeakyRelu<C>{static_cast<C>(call.attrs.as<double>())});
  });
}
void where(const KernelCall& call) {
  visit_any(call.in[1].dtype(), [&]<class T>(T) { cpu::select<T>(call.in[0], call.in[1], call.in[2], call.out[0]); });
}

bool register_all() {
  namespace e = elementwise;
  const auto add = [](std::string_view name, Kernel k) { register_kernel(name, DeviceKind::cpu, k); };
  add("neg", unary_float<e::Neg>);
  add("abs", unary_float<e::Abs>);
  add("sign", unary_float<e::Sign>);
  add("exp", unary_float<e::Exp>);
  add("expm1", unary_float<e::Expm1>);
  add("log", unary_float<e::Log>);
  add("log1p", unary_float<e::Log1p>);
  add("sqrt", unary_float<e::Sqrt>);
  add("rsqrt", unary_float<e::Rsqrt>);
  add("square", unary_float<e::Square>);
  add("reciprocal", unary_float<e::Reciprocal>);
  add("sin", unary_float<e::Sin>);
  add("cos", unary_float<e::Cos>);
  add("tanh", unary_float<e::Tanh>);
  add("sigmoid", unary_float<e::Sigmoid>);
  add("erf", unary_float<e::Erf>);
  add("relu", unary_float<e::Relu>);
  add("silu", unary_float<e::Silu>);
  add("softplus", unary_float<e::Softplus>);
  add("mish", unary_float<e::Mish>);
  add("gelu", unary_float<e::Gelu>);
  add("gelu_tanh", unary_float<e::GeluTanh>);
  add("gelu_slope", unary_float<e::GeluSlope>);
  add("silu_slope", unary_float<e::SiluSlope>);
  add("gelu_tanh_slope", unary_float<e::GeluTanhSlope>);
  add("relu_backward", binary_float<e::ReluBackward>);
  add("tanh_backward", binary_float<e::TanhBackward>);
  add("sigmoid_backward", binary_float<e::SigmoidBackward>);
  add("gelu_backward", binary_float<e::GeluBackward>);
  add("silu_backward", binary_float<e::SiluBackward>);
  add("gelu_tanh_backward", binary_float<e::GeluTanhBackward>);
  add("floor", unary_float<e::Floor>);
  add("round", unary_float<e::Round>);
  add("add", binary_number<e::Add>);
  add("sub", binary_number<e::Sub>);
  add("mul", binary_number<e::Mul>);
  add("div", binary_float<e::Div>);
  add("pow", binary_float<e::Pow>);
  add("maximum", binary_number<e::Maximum>);
  add("minimum", binary_number<e::Minimum>);
  add("equal", comparison<e::Equal>);
  add("not_equal", comparison<e::NotEqual>);
  add("less", comparison<e::Less>);
  add("less_equal", comparison<e::LessEqual>);
  add("isnan", predicate<e::Isnan>);
  add("isfinite", predicate<e::Isfinite>);
  add("logical_not", [](const KernelCall& c) { cpu::map_unary<bool, bool>(c.in[0], c.out[0], e::LogicalNot{}); });
  add("logical_and",
      [](const KernelCall& c) { cpu::map_binary<bool, bool>(c.in[0], c.in[1], c.out[0], e::LogicalAnd{}); });
  add("logical_or",
      [](const KernelCall& c) { cpu::map_binary<bool, bool>(c.in[0], c.in[1], c.out[0], e::LogicalOr{}); });
  add("clamp", clamp);
  add("leaky_relu", leaky_relu);
  add("where", where);
  return true;
}
[[maybe_unused]] const bool registered = register_all();

}  // namespace

}  // namespace retort
