// autograd/ops/rotary.cpp -- rotary(x, t): pairs of features turned by t base^(-2i / D), or by t rates[i]. The adjoint
// turns them back.
#include "autograd/ops/rotary.h"

#include "autograd/rule.h"
#include "tensor/rotary_attrs.h"

namespace retort {

namespace {
struct Rotary : Linear<Rotary> {
  static constexpr std::string_view name = "rotary";
  static Saves saves(std::uint32_t, const AttrBox&) { return {2, 0, 0}; }
  static void infer(InferCall& call) {
    infer::require_float(call, 0);
    const Tensor &x = call.in[0], &positions = call.in[1];
    const auto rates = static_cast<std::int64_t>(call.attrs.as<RotaryRates>().rates.size());
    if (x.rank() < 2 || (rates == 0 && x.size(-1) % 2 != 0))
      throw ShapeError("rotary: x must be [..., T, D] with D even; got {}", x.str());
    if (positions.dtype() != DType::i64) throw DTypeError("rotary: positions must be i64; got {}", positions.str());
    Shape rows = x.shape();
    rows.erase(rows.rank() - 1);
    if (!(broadcast_shapes(rows, positions.shape(), "rotary") == rows))
      throw ShapeError("rotary: positions must broadcast to {}; got {}", rows.str(), positions.str());
    if (2 * rates > x.size(-1))
      throw ShapeError("rotary: {} rates turn {} features; got x {}", rates, 2 * rates, x.str());
    call.output(x.shape(), x.dtype(), infer::like(x));
    call.scratch(positions.numel() * (rates > 0 ? 2 * rates : x.size(-1)) * (x.dtype() == DType::f64 ? 8 : 4));
  }
  static Tensor transpose(std::size_t, const Tensor& cot, const VjpCall& c) {
    RotaryRates back = c.attrs.as<RotaryRates>();
    back.inverse = !back.inverse;
    return apply_with<Rotary>(AttrBox::of(back), cot, c.in[1]);
  }
};
REGISTER_OP(Rotary);
}  // namespace

Tensor rotary(const Tensor& x, const Tensor& positions, double base, RotaryPairs pairs) {
  if (!(base > 0)) throw ValueError("rotary: base must be positive; got {}", base);
  return apply_with<Rotary>(AttrBox::of(RotaryRates{{base, pairs == RotaryPairs::interleaved, false}}), x, positions);
}

Tensor rotary(const Tensor& x, const Tensor& positions, const std::vector<double>& rates, RotaryPairs pairs) {
  if (rates.empty()) throw ShapeError("rotary: no rates");
  return apply_with<Rotary>(AttrBox::of(RotaryRates{{1, pairs == RotaryPairs::interleaved, false}, rates}), x,
                            positions);
}

}  // namespace retort
