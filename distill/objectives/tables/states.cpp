// distill/objectives/tables/states.cpp -- inputs derived from the batch, at which roles may be asked.
#include "autograd/ops/shape.h"
#include "distill/diffusion/noising.h"
#include "distill/diffusion/step.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
const Tensor& named(const StateInput& in, const std::string& name) {
  const auto found = in.states.find(name);
  if (found == in.states.end()) throw ConfigError("points: there is no state or time {} before this one", name);
  return found->second;
}

State of_state(const std::string& from, std::function<Tensor(const Tensor&)> f) {
  return {{}, {}, [from, f = std::move(f)](const StateInput& in) { return f(named(in, from)); }};
}

/// alpha_t x + sigma_t noise.
State make_renoise(TableArgs& args) {
  const std::string from = args.word("state"), time = args.word("time");
  return {{}, time, [from, time](const StateInput& in) {
            return add_noise(named(in, from), named(in, "noise"), named(in, time), in.schedule);
          }};
}

/// From a state at s to time t (later or earlier) along a role's flow, by DDIM steps, without gradient.
State make_step_of(TableArgs& args) {
  const std::string from = args.word("state"), s = args.word("s"), t = args.word("t"),
                    role = args.word("role", "teacher");
  const auto steps = args.integer("steps", 1, {.min = 1});
  const bool conditional = args.word("cond", "given") != "null";
  return {{}, t, [=](const StateInput& in) {
            const Predictor net{
                Space::x0, [&](const Tensor& x, const Tensor& time) { return in.ask(role, x, time, conditional); }};
            const Step step =
                make_step(Call{"n", {{"", Call{std::to_string(steps), {}, ""}}, {"", Call{"ddim", {}, ""}}}, ""});
            return stop_gradient(
                step.run(net, stop_gradient(named(in, from)), named(in, s), named(in, t), in.schedule, {}));
          }};
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
      {"step", make_step_of},
      {"flip",
       [](TableArgs& args) { return of_state(args.word("state"), [](const Tensor& x) { return flip(x, {3}); }); }},
  };
  return entries;
}

}  // namespace retort
