// tensor/cpu/elementwise.cpp -- CPU kernels of the elementwise ops: each is its functor inside a vectorised loop.
#include "tensor/elementwise.h"

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
    if constexpr (!std::is_same_v<T, bool>)
      cpu::map_binary<T, T>(call.in[0], call.in[1], call.out[0], F{});
    else
      throw DTypeError("arithmetic on bool; got {}; hint: cast first", call.in[0].str());
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
  add("gelu", unary_float<e::Gelu>);
  add("gelu_tanh", unary_float<e::GeluTanh>);
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
  return true;
}
[[maybe_unused]] const bool registered = register_all();

}  // namespace

}  // namespace retort
