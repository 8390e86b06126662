#include "distill/diffusion/step.h"

#include <map>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/shape.h"
#include "tensor/random.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// One step in progress.
struct Leg {
  const Predictor& net;
  const Tensor& x;
  const Tensor& t;
  const Tensor& s;
  const NoiseSchedule& schedule;
  const StepNoise& noise;
};

struct Clean {
  Tensor x0, eps;
};
Clean ask(const Leg& leg) {
  const Tensor answer = leg.net.call(leg.x, leg.t);
  return {convert(leg.net.space, Space::x0, answer, leg.x, leg.t, leg.schedule),
          convert(leg.net.space, Space::eps, answer, leg.x, leg.t, leg.schedule)};
}

/// Coordinates y(tau) in which the flow is dy/dtau = a prediction in `slope`. For variance-preserving schedules they
/// are smooth in the noise level whatever their time is.
struct Line {
  Tensor scale;  ///< y = x / scale
  Tensor tau;
  Space slope;
};
Line line(const NoiseSchedule& schedule, const Tensor& t) {
  if (!schedule.variance_preserving())
    return {Tensor::full(t.shape(), 1, DType::f64, t.device()), cast(t, DType::f64), Space::dxdt};
  const SignalNoise<Tensor> here = schedule.at(t);
  return {here.signal, here.noise / here.signal, Space::eps};
}

Tensor slope_at(const Leg& leg, const Line& at, const Tensor& x, const Tensor& t) {
  return convert(leg.net.space, at.slope, leg.net.call(x, t), x, t, leg.schedule);
}

Tensor follow(const Leg& leg, const Line& from, const Line& to, const Tensor& slope) {
  return per_sample(to.scale, leg.x) *
         (leg.x / per_sample(from.scale, leg.x) + per_sample(to.tau - from.tau, leg.x) * slope);
}

Tensor euler(const Leg& leg) {
  const Line from = line(leg.schedule, leg.t), to = line(leg.schedule, leg.s);
  return follow(leg, from, to, slope_at(leg, from, leg.x, leg.t));
}

Tensor heun(const Leg& leg) {
  const Line from = line(leg.schedule, leg.t), to = line(leg.schedule, leg.s);
  const Tensor first = slope_at(leg, from, leg.x, leg.t), reached = follow(leg, from, to, first);
  // Rows that arrive at sigma = 0, where no slope can be read from x0, ask again where they began and keep the first.
  const Tensor arrived = less_equal(leg.schedule.at(leg.s).noise, Tensor::scalar(0, DType::f64, leg.s.device()));
  Shape column = Shape::filled(leg.x.rank(), 1);
  column[0] = leg.x.size(0);
  const Tensor stay = retort::to(reshape(arrived, column), leg.x.device());
  const Tensor again = where(arrived, cast(leg.t, DType::f64), cast(leg.s, DType::f64));
  const Tensor second = slope_at(leg, to, where(stay, leg.x, reached), again);
  return where(stay, reached, follow(leg, from, to, (first + second) * .5));
}

Tensor ddim(const Leg& leg) {
  const auto [x0, eps] = ask(leg);
  return jump(x0, eps, leg.s, leg.schedule);
}

Tensor ddim_eta(const Leg& leg, double eta) {
  const auto [x0, eps] = ask(leg);
  const SignalNoise<Tensor> late = leg.schedule.at(leg.t), early = leg.schedule.at(leg.s);
  const Tensor fresh = early.noise / late.noise * transition(leg.schedule, leg.t, leg.s).noise * eta;
  const Tensor kept = sqrt(maximum(square(early.noise) - square(fresh), 0));
  return per_sample(early.signal, x0) * x0 + per_sample(kept, eps) * eps +
         per_sample(fresh, leg.x) * leg.noise(leg.x, 0);
}

Tensor dpm1(const Leg& leg) {
  const Tensor x0 = convert(leg.net.space, Space::x0, leg.net.call(leg.x, leg.t), leg.x, leg.t, leg.schedule);
  const SignalNoise<Tensor> late = leg.schedule.at(leg.t), early = leg.schedule.at(leg.s);
  const Tensor kept = early.noise / late.noise;
  return per_sample(kept, leg.x) * leg.x + per_sample(early.signal - late.signal * kept, x0) * x0;
}

Tensor renoised(const Leg& leg) {
  const Tensor x0 = convert(leg.net.space, Space::x0, leg.net.call(leg.x, leg.t), leg.x, leg.t, leg.schedule);
  return jump(x0, leg.noise(leg.x, 0), leg.s, leg.schedule);
}

Step step_of(int calls, bool stochastic, std::function<Tensor(const Leg&)> f) {
  return {calls, stochastic,
          [stochastic, f = std::move(f)](const Predictor& net, const Tensor& x, const Tensor& t, const Tensor& s,
                                         const NoiseSchedule& schedule, const StepNoise& noise) {
            if (stochastic && !noise) throw ValueError("step: it draws noise; give a source of it");
            return f({net, x, t, s, schedule, noise});
          }};
}

Step repeated(Step inner, int count) {
  const int calls = inner.calls * count;
  const bool stochastic = inner.stochastic;
  return step_of(calls, stochastic, [count, inner = std::move(inner)](const Leg& leg) {
    const Tensor begin = cast(leg.t, DType::f64), length = cast(leg.s, DType::f64) - begin;
    Tensor x = leg.x, at = begin;
    for (int i = 1; i <= count; ++i) {
      const Tensor next = i == count ? begin + length : begin + length * (static_cast<double>(i) / count);
      // Draws of the inner step are interleaved: each keeps its own number.
      const StepNoise noise = [&](const Tensor& like, int draw) { return leg.noise(like, draw * count + i - 1); };
      x = inner.run(leg.net, x, at, next, leg.schedule, noise);
      at = next;
    }
    return x;
  });
}

Step make_repeated(CallArgs& args) {
  const auto count = static_cast<int>(args.integer("k", {.min = 1, .max = 1000000}));
  return repeated(make_step(args.call("step")), count);
}
}  // namespace

StepNoise keyed_noise(const Rng& rng, const std::string& stream, std::uint32_t step, const Tensor& samples) {
  return [=](const Tensor& x, int draw) {
    return normal(x.shape(), rng.stream(fmt::format("{}/{}", stream, draw), step), x.dtype(), x.device(), &samples);
  };
}

Tensor jump(const Tensor& x0, const Tensor& eps, const Tensor& s, const NoiseSchedule& schedule) {
  const SignalNoise<Tensor> end = schedule.at(s);
  return per_sample(end.signal, x0) * x0 + per_sample(end.noise, eps) * eps;
}

Step make_step(const Call& call) {
  using Make = Step (*)(CallArgs&);
  static const std::map<std::string, Make, std::less<>> table{
      {"euler", [](CallArgs&) { return step_of(1, false, euler); }},
      {"heun", [](CallArgs&) { return step_of(2, false, heun); }},
      {"ddim", [](CallArgs&) { return step_of(1, false, ddim); }},
      {"ddim_eta",
       [](CallArgs& args) {
         const double eta = args.number("eta", {.min = 0, .max = 1});
         return step_of(1, eta > 0, [eta](const Leg& leg) { return eta > 0 ? ddim_eta(leg, eta) : ddim(leg); });
       }},
      {"dpm1", [](CallArgs&) { return step_of(1, false, dpm1); }},
      {"renoise", [](CallArgs&) { return step_of(1, true, renoised); }},
      {"n", make_repeated},
  };
  CallArgs args(call);
  Step step = lookup(table, call, "step")(args);
  args.done();
  return step;
}

Tensor sample(const Predictor& net, const Tensor& x, std::span<const double> grid, const Step& step,
              const NoiseSchedule& schedule, const Rng& rng, const Tensor& samples) {
  const auto at = [&](std::size_t i) { return Tensor::full({x.size(0)}, grid[i], DType::f64, host_of(x.device())); };
  Tensor state = x;
  for (std::size_t i = grid.size(); i-- > 1;) {
    if (!(grid[i - 1] < grid[i])) throw ValueError("sample: times ascend; got {} before {}", grid[i - 1], grid[i]);
    const StepNoise noise =
        step.stochastic ? keyed_noise(rng, fmt::format("sampler/{}", i - 1), 0, samples) : StepNoise();
    state = step.run(net, state, at(i), at(i - 1), schedule, noise);
  }
  return state;
}

}  // namespace retort
