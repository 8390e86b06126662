#include "distill/diffusion/boundary.h"

#include <algorithm>
#include <map>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
/// x_s = of_x x + of_x0 x0.
struct Jump {
  Tensor of_x, of_x0;
};

Jump ddim_jump(const Tensor& t, const Tensor& s, const NoiseSchedule& schedule) {
  const SignalNoise<Tensor> from = schedule.at(t), to = schedule.at(s);
  // Without noise at t there is none at s, and both are the clean end: stay.
  const Tensor none = less_equal(from.noise, scalar_like(from.noise, 0)), one = scalar_like(from.noise, 1);
  const Tensor kept = where(none, one, to.noise / where(none, one, from.noise));
  return {kept, to.signal - from.signal * kept};
}

Jump consistency_jump(const Tensor& t, double sigma_data, double sigma_min) {
  const double variance = sigma_data * sigma_data;
  const Tensor sigma = cast(t, DType::f64), above = sigma - sigma_min;
  const Tensor skip = reciprocal(square(above) / variance + 1.0), edm_skip = variance / (square(sigma) + variance);
  const Tensor share = above / sigma;  // of this c_out in that of edm, whose F is (x0 - edm_skip x) / c_out
  return {skip - share * edm_skip, share};
}

Jump latent_jump(const Tensor& t, double sigma_data, double time_scale) {
  const Tensor tau = cast(t, DType::f64) * time_scale;
  const Tensor total = square(tau) + sigma_data * sigma_data;
  return {sigma_data * sigma_data / total, tau / sqrt(total)};
}
}  // namespace

Tensor Boundary::jump(const Tensor& x0, const Tensor& x, const Tensor& t, const Tensor& s,
                      const NoiseSchedule& schedule) const {
  if (kind_ == Kind::plain) return x0;
  const Jump j = kind_ == Kind::cm    ? consistency_jump(t, sigma_data_, scale_)
                 : kind_ == Kind::lcm ? latent_jump(t, sigma_data_, scale_)
                                      : ddim_jump(t, s, schedule);
  return per_sample(j.of_x, x) * x + per_sample(j.of_x0, x0) * x0;
}

Tensor clean_of_jump(const Tensor& x_s, const Tensor& x, const Tensor& t, const Tensor& s,
                     const NoiseSchedule& schedule) {
  const Jump j = ddim_jump(t, s, schedule);
  return (x_s - per_sample(j.of_x, x) * x) / per_sample(j.of_x0, x);
}

namespace {
using Levels = NoiseSchedule::Kind;

struct Entry {
  std::vector<Levels> schedules;  ///< none: all
  bool end_time;
  Boundary (*make)(CallArgs&);
};
Boundary make_jump(CallArgs&) { return Boundary(); }
Boundary make_cm(CallArgs& args) {
  const double sigma_data = args.number("sigma_data", .5, {.above = 0});
  return Boundary(Boundary::Kind::cm, sigma_data, args.number("sigma_min", .002, {.above = 0}));
}
Boundary make_lcm(CallArgs& args) {
  const double sigma_data = args.number("sigma_data", .5, {.above = 0});
  return Boundary(Boundary::Kind::lcm, sigma_data, args.number("time_scale", 10, {.above = 0}));
}

const std::map<std::string, Entry, std::less<>>& entries() {
  static const std::map<std::string, Entry, std::less<>> table{
      {"ddim_jump", {{}, false, make_jump}},
      {"ctm", {{Levels::ve}, true, make_jump}},
      {"trig", {{Levels::trig}, false, make_jump}},
      {"mean_velocity", {{Levels::flow, Levels::ve}, true, make_jump}},
      {"cm", {{Levels::ve}, false, make_cm}},
      {"lcm", {{Levels::vp}, false, make_lcm}},
      {"plain", {{}, false, [](CallArgs&) { return Boundary(Boundary::Kind::plain); }}},
  };
  return table;
}
}  // namespace

Boundary make_boundary(const Call& call, const NoiseSchedule& schedule) {
  const Entry& entry = lookup(entries(), call, "boundary");
  const auto fits = [&](Levels kind) { return kind == schedule.kind(); };
  if (!entry.schedules.empty() && std::none_of(entry.schedules.begin(), entry.schedules.end(), fits))
    call.fail("it is of another schedule of noise; hint: ddim_jump is of every one");
  CallArgs args(call);
  const Boundary boundary = entry.make(args);
  args.done();
  return boundary;
}

bool wants_end_time(const Call& boundary) { return lookup(entries(), boundary, "boundary").end_time; }

}  // namespace retort
