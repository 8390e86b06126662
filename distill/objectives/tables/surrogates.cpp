// distill/objectives/tables/surrogates.cpp -- losses of sampled tokens, whose gradients at fixed tokens are policy
// gradients or those of a divergence estimated from the tokens drawn.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "distill/objectives/tables/policies.h"

namespace retort {

namespace {
Surrogate with_advantage(std::string formula, std::function<Tensor(const SurrogateInput&)> loss) {
  return {std::move(formula), true, {}, std::move(loss)};
}

/// r = pi / pi_old, live.
Tensor ratio(const SurrogateInput& in) {
  if (!in.old.defined()) throw ConfigError("surrogate: a ratio needs responses that were sampled by a role");
  return exp(in.log_prob - in.old);
}

struct Clip {
  Weight low, high;
  double dual;
  bool is;
  explicit Clip(TableArgs& args)
      : low(args.scheduled("low", .2)), high(args.scheduled("high", .2)), dual(args.number("dual", INFINITY)) {
    const std::string word = args.word("is", "false");
    if (word != "true" && word != "false") throw ConfigError("ppo: is= is true or false; got {}", word);
    is = word == "true";
  }
  Tensor loss(const SurrogateInput& in) const {
    Tensor r = ratio(in);
    if (is) r = r * in.is_weight;
    const Tensor& A = in.advantage;
    const Tensor clipped = clamp(r, 1 - low.at(in.clock), 1 + high.at(in.clock));
    const Tensor worst = maximum(neg(r * A), neg(clipped * A));
    if (!std::isfinite(dual)) return worst;
    return where(less(A, scalar_like(A, 0)), minimum(worst, A * -dual), worst);
  }
};

Surrogate make_reinforce(TableArgs&) {
  return with_advantage("-A log pi", [](const SurrogateInput& in) { return neg(in.advantage * in.log_prob); });
}

Surrogate make_ppo(TableArgs& args) {
  const Clip clip(args);
  return with_advantage("max(-r A, -clip(r, 1 - low, 1 + high) A)",
                        [clip](const SurrogateInput& in) { return clip.loss(in); });
}

Surrogate make_capped(TableArgs& args) {
  constexpr double kLargest = 20;  // of a log-ratio: its exponential stays finite in f32
  const double most = args.number("most", {.above = 0});
  return with_advantage("-min(r, most) A log pi, r constant", [most](const SurrogateInput& in) {
    if (!in.old.defined()) throw ConfigError("surrogate: a ratio needs responses that were sampled by a role");
    const Tensor r = stop_gradient(minimum(exp(clamp(in.log_prob - in.old, -kLargest, kLargest)), most));
    return neg(r * in.advantage * in.log_prob);
  });
}

/// Tokens that somebody else wrote have no sampler's probability: pi / (pi + c) takes the place of the ratio, its slope
/// in log pi largest where pi = c.
Surrogate make_shaped(TableArgs& args) {
  const double c = args.number("c", .1, {.above = 0});
  const Clip clip(args);
  return with_advantage("-A pi / (pi + c) at others' tokens, ppo elsewhere", [c, clip](const SurrogateInput& in) {
    const Tensor own = clip.loss(in);
    if (!in.off_policy.defined()) return own;
    const Tensor p = exp(in.log_prob), shaped = neg(in.advantage * (p / (p + c)));
    return where(less(scalar_like(own, .5), in.off_policy), shaped, own);
  });
}

/// Nearer to the log-probability under good context than to that under bad, by a margin (UniSD, 2026).
Surrogate make_contrast(TableArgs& args) {
  const std::string good = args.word("good"), bad = args.word("bad");
  const double margin = args.number("margin", .5);
  return {"relu(margin + |lp - lp_good| - |lp - lp_bad|)",
          false,
          {good, bad},
          [good, bad, margin](const SurrogateInput& in) {
            const auto gap = [&](const std::string& name) { return abs(in.log_prob - in.others.at(name)); };
            return relu(gap(good) - gap(bad) + margin);
          }};
}

using Estimate = Tensor (*)(const Tensor& ell);
Tensor k1(const Tensor& ell) { return ell; }
Tensor k2(const Tensor& ell) { return square(ell) * .5; }
Tensor k3(const Tensor& ell) { return exp(neg(ell)) - 1.0 + ell; }

/// KL(pi || pi_T) from the token drawn: Schulman's estimators.
template <Estimate estimate, bool Weighted>
Surrogate make_estimate(TableArgs& args) {
  const std::string of = args.word("of");
  Surrogate s{"", false, {of}, {}};
  s.loss = [of](const SurrogateInput& in) {
    const Tensor value = estimate(in.log_prob - in.others.at(of));
    return Weighted ? ratio(in) * value : value;
  };
  return s;
}
}  // namespace

Surrogate make_surrogate(const Call& call, const NumberMap& numbers) {
  static const Table<Surrogate> table{{"reinforce", make_reinforce},
                                      {"ppo", make_ppo},
                                      {"capped", make_capped},
                                      {"shaped", make_shaped},
                                      {"contrast", make_contrast},
                                      {"k1", make_estimate<k1, false>},
                                      {"k2", make_estimate<k2, false>},
                                      {"k3", make_estimate<k3, false>},
                                      {"rho_k3", make_estimate<k3, true>}};
  TableArgs args(call, numbers);
  Surrogate made = lookup(table, call, "surrogate")(args);
  args.done();
  return made;
}

}  // namespace retort
