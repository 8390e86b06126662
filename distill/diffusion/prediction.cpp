#include "distill/diffusion/prediction.h"

#include <map>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
Tensor filled(const Tensor& t, double value) { return Tensor::full(t.shape(), value, DType::f64, t.device()); }

/// A quantity q with scale q = signal x0 + noise eps; all [n] in f64, an undefined scale is 1. The scale keeps the
/// coefficients of the score finite where sigma is 0.
struct Mix {
  Tensor signal, noise, scale = {};
};

Mix mix_of(Space space, const Tensor& t, const NoiseSchedule& schedule) {
  switch (space) {
    case Space::x0:
      return {filled(t, 1), filled(t, 0)};
    case Space::eps:
      return {filled(t, 0), filled(t, 1)};
    case Space::score:
      return {filled(t, 0), filled(t, -1), schedule.at(t).noise};
    case Space::v:
      if (schedule.variance_preserving()) {
        const SignalNoise<Tensor> here = schedule.at(t);
        return {-here.noise, here.signal};
      }
      [[fallthrough]];
    case Space::dxdt: {
      const SignalNoise<Tensor> change = schedule.rate(t);
      return {change.signal, change.noise};
    }
  }
  throw InternalError("prediction: unknown space");
}

/// sqrt(sigma^2 + alpha^2 sigma_data^2), the deviation of the state of data with deviation sigma_data.
Tensor state_deviation(const SignalNoise<Tensor>& here, double sigma_data) {
  return sqrt(square(here.noise) + square(here.signal) * (sigma_data * sigma_data));
}

Mix mix_of(const Output& out, const Tensor& t, const NoiseSchedule& schedule) {
  const double sd = out.sigma_data();
  switch (out.kind()) {
    case Output::Kind::x0:
      return mix_of(Space::x0, t, schedule);
    case Output::Kind::eps:
      return mix_of(Space::eps, t, schedule);
    case Output::Kind::score:
      return mix_of(Space::score, t, schedule);
    case Output::Kind::v:
      return mix_of(Space::v, t, schedule);
    case Output::Kind::v_rf:
      return {filled(t, -1), filled(t, 1)};
    case Output::Kind::v_vp: {
      const SignalNoise<Tensor> here = schedule.at(t);
      return {-here.noise, here.signal};
    }
    case Output::Kind::edm: {
      // (x0 - c_skip x / alpha) / c_out, with alpha multiplied through so that it may be 0.
      const SignalNoise<Tensor> here = schedule.at(t);
      const Tensor deviation = state_deviation(here, sd);
      return {here.noise / (deviation * sd), here.signal * -sd / deviation};
    }
    case Output::Kind::trig: {
      const SignalNoise<Tensor> change = schedule.rate(t);
      return {change.signal / sd, change.noise / sd};
    }
  }
  throw InternalError("prediction: unknown output");
}

/// What a conversion is made of: to = (of_x x + of_value value) / divisor, from Cramer's rule on
/// x = alpha x0 + sigma eps and the definition of `from`. The sums are left undivided so that where x and value cancel
/// they do so exactly.
struct Conversion {
  Tensor of_x, of_value, divisor;
};

Conversion conversion(const Mix& from, const Mix& to, const Tensor& t, const NoiseSchedule& schedule) {
  const SignalNoise<Tensor> here = schedule.at(t);
  Tensor of_value = to.noise * here.signal - to.signal * here.noise;
  if (from.scale.defined()) of_value = of_value * from.scale;
  Tensor divisor = here.signal * from.noise - here.noise * from.signal;
  if (to.scale.defined()) divisor = divisor * to.scale;
  return {to.signal * from.noise - to.noise * from.signal, of_value, divisor};
}

Tensor widened(const Tensor& t) { return t.dtype() == DType::f64 ? t : cast(t, DType::f32); }

Tensor apply(const Conversion& c, const Tensor& value, const Tensor& x) {
  if (!(value.shape() == x.shape()))
    throw ShapeError("convert: a prediction has its state's shape; got {} and {}", value.str(), x.str());
  const DType dtype = x.dtype() == DType::f64 || value.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor state = cast(x, dtype), given = cast(value, dtype);
  return (per_sample(c.of_x, state) * state + per_sample(c.of_value, state) * given) / per_sample(c.divisor, state);
}

Tensor mixed(const Mix& m, const Tensor& x0, const Tensor& eps) {
  const Tensor sum = per_sample(m.signal, x0) * x0 + per_sample(m.noise, eps) * eps;
  return m.scale.defined() ? sum / per_sample(m.scale, sum) : sum;
}

Tensor time_for(const Tensor& t) { return cast(t, DType::f64); }
}  // namespace

Space make_space(const Call& call) {
  static const std::map<std::string, Space, std::less<>> table{
      {"x0", Space::x0}, {"eps", Space::eps}, {"v", Space::v}, {"score", Space::score}, {"dxdt", Space::dxdt}};
  const Space space = lookup(table, call, "prediction space");
  CallArgs(call).done();
  return space;
}

Tensor convert(Space from, Space to, const Tensor& value, const Tensor& x, const Tensor& t,
               const NoiseSchedule& schedule) {
  if (from == to) return widened(value);
  return apply(conversion(mix_of(from, t, schedule), mix_of(to, t, schedule), t, schedule), value, x);
}

Tensor conversion_slope(Space from, Space to, const Tensor& t, const NoiseSchedule& schedule) {
  if (from == to) return filled(t, 1);
  const Conversion c = conversion(mix_of(from, t, schedule), mix_of(to, t, schedule), t, schedule);
  return c.of_value / c.divisor;
}

Tensor compose(Space space, const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule) {
  return mixed(mix_of(space, t, schedule), x0, eps);
}

Tensor Output::input(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule) const {
  if (kind_ == Kind::trig) return x / sigma_data_;
  if (kind_ != Kind::edm) return x;
  return x / per_sample(state_deviation(schedule.at(t), sigma_data_), x);
}

Tensor Output::time(const Tensor& t, const NoiseSchedule& schedule) const {
  return kind_ == Kind::edm ? schedule.log_snr(t) * -.125 : time_for(t);
}

Tensor Output::read(Space space, const Tensor& raw, const Tensor& x, const Tensor& t,
                    const NoiseSchedule& schedule) const {
  if (kind_ == Kind::trig && schedule.kind() != NoiseSchedule::Kind::trig)
    throw ConfigError("output: trig reads states of a trig schedule; hint: edm reads those of any schedule");
  return apply(conversion(mix_of(*this, t, schedule), mix_of(space, t, schedule), t, schedule), raw, x);
}

Tensor Output::target(const Tensor& x0, const Tensor& eps, const Tensor& t, const NoiseSchedule& schedule) const {
  return mixed(mix_of(*this, t, schedule), x0, eps);
}

Output make_output(const Call& call) {
  using Kind = Output::Kind;
  static const std::map<std::string, Kind, std::less<>> table{
      {"x0", Kind::x0},     {"eps", Kind::eps},   {"score", Kind::score}, {"v", Kind::v},
      {"v_rf", Kind::v_rf}, {"v_vp", Kind::v_vp}, {"edm", Kind::edm},     {"trig", Kind::trig}};
  CallArgs args(call);
  const Kind kind = lookup(table, call, "network output");
  const bool scaled = kind == Kind::edm || kind == Kind::trig;
  const Output out(kind, scaled ? args.number("sigma_data", .5, {.above = 0}) : .5);
  args.done();
  return out;
}

}  // namespace retort
