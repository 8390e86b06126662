#include "distill/diffusion/weights.h"

#include <map>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
/// A weight of alpha and sigma alone.
TimeWeight of_level(std::function<Tensor(const Tensor& alpha, const Tensor& sigma)> f) {
  return [f = std::move(f)](const WeightQuery& q) {
    const SignalNoise<Tensor> here = q.schedule.at(q.t);
    return f(here.signal, here.noise);
  };
}

TimeWeight power(double p, double q) {
  return of_level([p, q](const Tensor& alpha, const Tensor& sigma) { return pow(alpha, p) * pow(sigma, q); });
}

TimeWeight of_snr(std::function<Tensor(const Tensor& snr)> f) {
  return of_level([f = std::move(f)](const Tensor& alpha, const Tensor& sigma) { return f(square(alpha / sigma)); });
}

TimeWeight make_min_snr(CallArgs& args) {
  const double gamma = args.number("gamma", 5, {.above = 0});
  const auto named = args.optional_call("space");
  const Space space = named ? make_space(*named) : Space::x0;
  if (space == Space::score || space == Space::dxdt) named->fail("min_snr is known for x0, eps and v");
  return of_snr([gamma, space](const Tensor& snr) {
    const Tensor on_x0 = minimum(snr, gamma);
    if (space == Space::x0) return on_x0;
    return on_x0 / (space == Space::eps ? snr : snr + 1);
  });
}

TimeWeight make_edm(CallArgs& args) {
  const double sd = args.number("sigma_data", .5, {.above = 0});
  return of_snr([sd](const Tensor& snr) { return snr + 1 / (sd * sd); });
}

TimeWeight make_inv_var(CallArgs& args) {
  const double cap = args.number("cap", INFINITY, {.above = 0});
  return [cap](const WeightQuery& q) {
    const Tensor noise = q.s.defined() ? transition(q.schedule, q.t, q.s).noise : q.schedule.at(q.t).noise;
    return minimum(reciprocal(square(noise)), cap);
  };
}

TimeWeight make_inv_dt(CallArgs&) {
  return [](const WeightQuery& q) {
    if (!q.s.defined()) throw ConfigError("weight: inv_dt needs an earlier time");
    return reciprocal(cast(q.t, DType::f64) - cast(q.s, DType::f64));
  };
}
}  // namespace

TimeWeight make_weight(const Call& call) {
  using Make = TimeWeight (*)(CallArgs&);
  static const std::map<std::string, Make, std::less<>> table{
      {"one", [](CallArgs&) { return power(0, 0); }},
      {"power",
       [](CallArgs& args) {
         const double p = args.number("p"), q = args.number("q");
         return power(p, q);
       }},
      {"sigma2", [](CallArgs&) { return power(0, 2); }},
      {"alpha_sigma", [](CallArgs&) { return power(1, 1); }},
      {"sigma_alpha", [](CallArgs&) { return power(-1, 1); }},
      {"snr",
       [](CallArgs& args) {
         const double p = args.number("p", 1);
         return power(2 * p, -2 * p);
       }},
      {"snr_plus_one", [](CallArgs&) { return of_snr([](const Tensor& snr) { return snr + 1; }); }},
      {"truncated_snr", [](CallArgs&) { return of_snr([](const Tensor& snr) { return maximum(snr, 1); }); }},
      {"min_snr", make_min_snr},
      {"edm", make_edm},
      {"inv_var", make_inv_var},
      {"inv_dt", make_inv_dt},
      {"tan_gap",
       [](CallArgs& args) -> TimeWeight {
         const double c = args.number("c", 2.5, {.above = 2});
         return [c](const WeightQuery& q) {
           if (!q.s.defined()) throw ConfigError("weight: tan_gap needs an earlier time");
           const Tensor angle = (1.0 - (cast(q.t, DType::f64) - cast(q.s, DType::f64))) * (std::numbers::pi / c);
           return sin(angle) / cos(angle) + 1.0;
         };
       }},
      {"box",
       [](CallArgs& args) -> TimeWeight {
         const double low = args.number("from"), high = args.number("to", INFINITY);
         return [low, high](const WeightQuery& q) {
           const Tensor t = cast(q.t, DType::f64);
           return cast(less_equal(scalar_like(t, low), t), DType::f64) *
                  cast(less(t, scalar_like(t, high)), DType::f64);
         };
       }},
      {"exp",
       [](CallArgs& args) -> TimeWeight {
         const double tau = args.number("tau", {.above = 0});
         return [tau](const WeightQuery& q) { return exp(cast(q.t, DType::f64) / tau); };
       }},
      {"tan", [](CallArgs&) { return power(1, -1); }},
  };
  CallArgs args(call);
  TimeWeight weight = lookup(table, call, "weight")(args);
  args.done();
  return weight;
}

}  // namespace retort
