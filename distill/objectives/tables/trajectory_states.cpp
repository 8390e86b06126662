// distill/objectives/tables/trajectory_states.cpp -- states that few-step methods look at: noise turned into other
// noise, what roles make of a state, targets made of several of them.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
const Tensor& named(const StateInput& in, const std::string& name) {
  const auto found = in.states.find(name);
  if (found == in.states.end()) throw ConfigError("points: there is no state or time {} before this one", name);
  return found->second;
}

/// A unit normal apart from the term's own noise; each `draw` is another.
State make_normal(TableArgs& args) {
  const std::int64_t draw = args.integer("draw", {.min = 0, .max = 1000});
  return {{}, {}, [draw](const StateInput& in) {
            const Tensor& x = in.batch.x;
            if (x.meta()) return Tensor::empty(x.shape(), x.dtype(), x.device());
            return keyed_noise(in.pass.rng, "points/normal", in.pass.step, in.batch.sample)(x, static_cast<int>(draw));
          }};
}

/// sqrt(1 - b^2) a + b other: a unit normal again (SlimFlow's annealing of pairs).
State make_turn(TableArgs& args) {
  const std::string from = args.word("state"), other = args.word("other");
  const Weight share = args.scheduled("b");
  return {{}, {}, [=](const StateInput& in) {
            const double b = share.at(in.clock);
            return named(in, from) * std::sqrt(1 - b * b) + named(in, other) * b;
          }};
}

/// Where a role's jump takes a state, without gradient.
State make_jump_of(TableArgs& args) {
  const std::string from = args.word("state"), t = args.word("t"), s = args.word("s");
  Read read;
  read.role = args.word("role", "teacher");
  read.cond = args.word("cond", "given");
  if (const auto scale = args.optional_call("guide")) read.guide = args.of(*scale);
  return {{}, s, [=](const StateInput& in) {
            return in.ask(read, stop_gradient(named(in, from)), named(in, t), named(in, s));
          }};
}
}  // namespace

const Table<State>& trajectory_states() {
  static const Table<State> entries{{"normal", make_normal}, {"turn", make_turn}, {"jump", make_jump_of}};
  return entries;
}

}  // namespace retort
