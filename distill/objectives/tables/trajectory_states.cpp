// distill/objectives/tables/trajectory_states.cpp -- states that few-step methods look at: noise turned into other
// noise, what roles make of a state, targets made of several of them.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// sqrt(1 - b^2) a + b other: a unit normal again (SlimFlow's annealing of pairs).
State make_turn(TableArgs& args) {
  const std::string from = args.word("state"), other = args.word("other");
  const Weight share = args.scheduled("b");
  return {{}, {}, [=](const StateInput& in) {
            const double b = share.at(in.clock);
            return named(in, from) * std::sqrt(1 - b * b) + named(in, other) * b;
          }};
}

/// Where a role's jump takes a state; constant unless live.
State make_landing(TableArgs& args) {
  const std::string from = args.word("state"), t = args.word("t"), s = args.word("s");
  const Read read = asked_of(args);
  return {{}, s, [=](const StateInput& in) {
            const Tensor x = read.live ? named(in, from) : stop_gradient(named(in, from));
            return in.ask(read, x, named(in, t), named(in, s));
          }};
}

/// A time as one feature, [n, 1].
State make_clock(TableArgs& args) {
  return {{}, {}, [time = args.word("time")](const StateInput& in) {
            return cast(reshape(named(in, time), {-1, 1}), in.batch.x.dtype());
          }};
}

/// A state as a constant.
State make_still(TableArgs& args) {
  return {{}, {}, [from = args.word("state")](const StateInput& in) { return stop_gradient(named(in, from)); }};
}

/// state + delta noise, at the state's own time: where a divergence is felt for.
State make_probe(TableArgs& args) {
  const std::string from = args.word("state"), time = args.word("time"), noise = args.word("noise");
  const double delta = args.number("delta", {.above = 0});
  return {{}, time, [=](const StateInput& in) { return named(in, from) + named(in, noise) * delta; }};
}

/// state + (a - b), that difference limited element by element.
State make_shifted(TableArgs& args) {
  const std::string from = args.word("state"), a = args.word("a"), b = args.word("b");
  const double limit = args.number("limit", {.above = 0});
  return {{}, {}, [=](const StateInput& in) {
            return stop_gradient(named(in, from) + clamp(named(in, a) - named(in, b), -limit, limit));
          }};
}

/// y |x| / |y| with y = x + l (state - (null - cond)), l = sigma_t / alpha_t - sigma_s / alpha_s, lengths per sample:
/// the data pulled by a network's own judgement of its jump (Self-E, 2512.22374).
State make_self_evaluation(TableArgs& args) {
  const std::string data = args.word("x"), from = args.word("state"), null = args.word("null"),
                    cond = args.word("cond");
  const std::string t = args.word("t"), s = args.word("s");
  return {{}, {}, [=](const StateInput& in) {
            const Tensor x = stop_gradient(named(in, data));
            const SignalNoise<Tensor> far = in.schedule.at(named(in, t)), near = in.schedule.at(named(in, s));
            const Tensor pull = per_sample(far.noise / far.signal - near.noise / near.signal, x);
            const Tensor y = x + pull * (named(in, from) - (named(in, null) - named(in, cond)));
            const auto length = [](const Tensor& v) { return sqrt(sum(square(rows(v)), {1})); };
            return stop_gradient(y * per_sample(length(x) / length(y), y));
          }};
}
}  // namespace

const Table<State>& trajectory_states() {
  static const Table<State> entries{{"turn", make_turn},
                                    {"landing", make_landing},
                                    {"clock", make_clock},
                                    {"still", make_still},
                                    {"probe", make_probe},
                                    {"shifted", make_shifted},
                                    {"self_evaluation", make_self_evaluation}};
  return entries;
}

}  // namespace retort
