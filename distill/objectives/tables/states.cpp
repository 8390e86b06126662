// distill/objectives/tables/states.cpp -- inputs derived from the batch, at which roles may be asked.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/data/dsa.h"
#include "distill/diffusion/noising.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/tables/entries.h"
#include "tensor/transfer.h"

namespace retort {

const Tensor& named(const StateInput& in, const std::string& name) {
  const auto found = in.states.find(name);
  if (found == in.states.end()) throw ConfigError("points: there is no state or time {} before this one", name);
  return found->second;
}

Read asked_of(TableArgs& args) {
  Read read;
  read.role = args.word("role", "teacher");
  read.cond = args.word("cond", "given");
  read.live = args.word("live", "false") == "true";
  if (const auto scale = args.optional_call("guide")) read.guide = args.of(*scale);
  return read;
}

namespace {

State of_state(const std::string& from, std::function<Tensor(const Tensor&)> f) {
  return {{}, {}, [from, f = std::move(f)](const StateInput& in) { return f(named(in, from)); }};
}

/// alpha_t x + sigma_t noise; from a state at an earlier time, as much noise as leads on from there.
State make_renoise(TableArgs& args) {
  const std::string state = args.word("state"), time = args.word("time"), noise = args.word("noise", "noise");
  const std::string from = args.word("from", "");
  return {{}, time, [=](const StateInput& in) {
            const Tensor &x = named(in, state), &n = named(in, noise), &t = named(in, time);
            return from.empty() ? add_noise(x, n, t, in.schedule) : renoise(x, n, t, named(in, from), in.schedule);
          }};
}

/// Where DDIM's step from a state at t with the clean prediction x leads at s.
State make_jump(TableArgs& args) {
  const std::string x = args.word("x"), state = args.word("state"), t = args.word("t"), s = args.word("s");
  return {{}, s, [=](const StateInput& in) {
            const Tensor &clean = named(in, x), &at = named(in, state);
            const Tensor eps = convert(Space::x0, Space::eps, clean, at, named(in, t), in.schedule);
            return jump(clean, eps, named(in, s), in.schedule);
          }};
}

/// exp((mean noise^2 - mean m^2) / 2), [n]: how much likelier the noise m that leads from the clean state to a noisy
/// one is than the unit normal draw (TDM, 2503.06674).
State make_noise_ratio(TableArgs& args) {
  const std::string x = args.word("x"), state = args.word("state"), time = args.word("time");
  return {{}, {}, [=](const StateInput& in) {
            const Tensor at = stop_gradient(named(in, state)), clean = stop_gradient(named(in, x));
            const Tensor m = convert(Space::x0, Space::eps, clean, at, named(in, time), in.schedule);
            return exp((mean(square(rows(named(in, "noise"))), {1}) - mean(square(rows(m)), {1})) / 2.0);
          }};
}

/// Unit noise that is the same at every step: sample i of the run has the draw i modulo `particles`.
State make_fixed_noise(TableArgs& args) {
  const auto particles = std::max<std::int64_t>(1, std::llround(args.scheduled("particles", 1).at({})));
  return {{}, {}, [particles](const StateInput& in) {
            const Tensor& x = in.batch.x;
            if (x.meta()) return Tensor::empty(x.shape(), x.dtype(), x.device());
            std::vector<std::int64_t> draws = in.batch.sample.values<std::int64_t>();
            for (std::int64_t& i : draws) i %= particles;
            const auto n = static_cast<std::int64_t>(draws.size());
            return keyed_noise(in.pass.rng, "fixed_noise", 0, Tensor::of<std::int64_t>(draws, {n}))(x, 0);
          }};
}

/// Unit noise of this number and step, whichever term asks.
State make_fresh_noise(TableArgs& args) {
  const auto draw = static_cast<int>(args.integer("draw", {.min = 1, .max = 1000}));
  return {{}, {}, [draw](const StateInput& in) {
            const Tensor& x = in.batch.x;
            if (x.meta()) return Tensor::empty(x.shape(), x.dtype(), x.device());
            return keyed_noise(in.pass.rng, "fresh_noise", in.pass.step, in.batch.sample)(x, draw);
          }};
}

/// What a role predicts at a noisy state, as a state of its own; told an end time, or with its gradient, if so asked.
State make_predict(TableArgs& args) {
  const std::string from = args.word("state"), time = args.word("time");
  const auto space = make_space(args.call("space"));
  Read read = asked_of(args);
  read.space = Space::x0;
  read.at = from;
  read.to = args.word("to", "");
  return {{}, {}, [=](const StateInput& in) {
            const Tensor x = read.live ? named(in, from) : stop_gradient(named(in, from)), &t = named(in, time);
            const Tensor s = read.to.empty() ? Tensor() : named(in, read.to);
            return convert(Space::x0, space, in.ask(read, x, t, s), x, t, in.schedule);
          }};
}

/// The quantity SPACE of the pair of a clean state and the noise, at a time: what a regression asks a denoiser for.
State make_composed(TableArgs& args) {
  const Space space = make_space(args.call("space"));
  const std::string from = args.word("state"), time = args.word("time"), noise = args.word("noise", "noise");
  return {{}, {}, [=](const StateInput& in) {
            return compose(space, named(in, from), named(in, noise), named(in, time), in.schedule);
          }};
}

/// From a state at s to time t (later or earlier) along a role's flow, by deterministic steps; constant unless live.
State make_step_of(TableArgs& args) {
  const std::string from = args.word("state"), s = args.word("s"), t = args.word("t");
  const Read read = asked_of(args);
  const Call steps{std::to_string(args.integer("steps", 1, {.min = 1})), {}, ""};
  const auto by = args.optional_call("by");
  const Step step = make_step(Call{"n", {{"", steps}, {"", by.value_or(Call{"ddim", {}, ""})}}, ""});
  return {{}, t, [=](const StateInput& in) {
            const Predictor net{Space::x0, [&](const Tensor& x, const Tensor& time) { return in.ask(read, x, time); }};
            const Tensor x = read.live ? named(in, from) : stop_gradient(named(in, from));
            return step.run(net, x, named(in, s), named(in, t), in.schedule, {});
          }};
}

/// x + sigma noise: the other view of a consistency cost (Tarvainen and Valpola 2017).
State make_jitter(TableArgs& args) {
  const std::string from = args.word("state");
  const double sigma = args.number("sigma", {.min = 0});
  const auto value = [from, sigma](const StateInput& in) { return named(in, from) + named(in, "noise") * sigma; };
  return {{}, {}, value, true};
}

/// sqrt(1 - s^2) z + s noise at s = (k + ahead) / steps with k of [0, steps) drawn for each sample, the same for every
/// `ahead`: a unit normal again, less and less the z that a sample was made from (NCT, Luo et al. 2025).
State make_decouple(TableArgs& args) {
  const std::string from = args.word("state");
  const std::int64_t ahead = args.integer("ahead", {.min = 0, .max = 1}), steps = args.integer("steps", 10, {.min = 1});
  const auto value = [=](const StateInput& in) {
    const Tensor& z = named(in, from);
    if (z.meta()) return z;
    const RngKey key = in.pass.rng.stream("decouple", in.pass.step);
    std::vector<double> share;
    for (const std::int64_t sample : in.batch.sample.values<std::int64_t>()) {
      const auto k = uniform_int(key, static_cast<std::uint64_t>(sample), 0, static_cast<std::uint64_t>(steps));
      share.push_back((static_cast<double>(k) + static_cast<double>(ahead)) / static_cast<double>(steps));
    }
    Shape shape = z.shape();
    for (int i = 1; i < shape.rank(); ++i) shape[i] = 1;
    const Tensor s = to(Tensor::from(share, shape, z.dtype()), z.device());
    return sqrt(1.0 - square(s)) * z + s * named(in, "noise");
  };
  return {{}, {}, value, true};
}

/// Differentiable siamese augmentation: dsa(x whose=own|siamese ops=color_crop_..). At one step all terms that change
/// a sample of one id on its own change it alike.
State make_dsa(TableArgs& args) {
  const std::string from = args.word("state");
  Dsa dsa;
  dsa.siamese = args.word("whose", "own") == "siamese";
  dsa.ops = Dsa::parse(args.word("ops", "color_crop_cutout_flip_scale_rotate"), "points");
  return {{}, {}, [from, dsa](const StateInput& in) {
            return dsa(named(in, from), in.pass.rng.stream("dsa", in.pass.step), in.batch.index);
          }};
}

/// Two states beside each other along their first axis (channels, coordinates).
State make_join(TableArgs& args) {
  const std::string first = args.word("first"), second = args.word("second");
  const auto value = [=](const StateInput& in) { return concat(Tensors{named(in, first), named(in, second)}, 1); };
  return {{}, {}, value};
}

/// Counter-clockwise quarter turns of [n, c, h, w].
Tensor rotate(const Tensor& x, std::int64_t turns) {
  switch ((turns % 4 + 4) % 4) {
    case 1:
      return flip(transpose(x, 2, 3), {2});
    case 2:
      return flip(x, {2, 3});
    case 3:
      return flip(transpose(x, 2, 3), {3});
    default:
      return x;
  }
}
}  // namespace

const Table<State>& states() {
  static const Table<State> entries{
      {"rotate",
       [](TableArgs& args) {
         const std::string from = args.word("state");
         const std::int64_t turns = args.integer("turns");
         return of_state(from, [turns](const Tensor& x) { return rotate(x, turns); });
       }},
      {"renoise", make_renoise},
      {"compose", make_composed},
      {"step", make_step_of},
      {"jump", make_jump},
      {"noise_ratio", make_noise_ratio},
      {"jitter", make_jitter},
      {"decouple", make_decouple},
      {"join", make_join},
      {"part",
       [](TableArgs& args) {
         const std::string from = args.word("state");
         const std::int64_t count = args.integer("count", {.min = 1});
         return of_state(from, [count](const Tensor& x) { return slice(x, 1, 0, count); });
       }},
      {"fixed_noise", make_fixed_noise},
      {"fresh_noise", make_fresh_noise},
      {"at",
       [](TableArgs& args) {
         const std::string from = args.word("state"), time = args.word("time");
         return State{{}, time, [from](const StateInput& in) { return named(in, from); }};
       }},
      {"predict", make_predict},
      {"dsa", make_dsa},
      {"same", [](TableArgs& args) { return of_state(args.word("state"), [](const Tensor& x) { return x; }); }},
      {"flip",
       [](TableArgs& args) { return of_state(args.word("state"), [](const Tensor& x) { return flip(x, {3}); }); }},
  };
  return entries;
}

}  // namespace retort
