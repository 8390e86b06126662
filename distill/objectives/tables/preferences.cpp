#include "distill/objectives/tables/preferences.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// Row 0 (chosen) or 1 (rejected) of each pair: [n] -> [n / 2].
Tensor side(const Tensor& rows, std::int64_t which) { return slice(rows, 0, which, INT64_MAX, 2); }

Tensor margin(const Scored& s) {
  const Tensor r = s.score - s.reference;
  return side(r, 0) - side(r, 1);
}

/// -log sigmoid(h).
Tensor logistic(const Tensor& h) { return softplus(neg(h)); }

PreferenceFunction of_pairs(std::string formula, std::function<Tensor(const Scored&)> value) {
  return {std::move(formula), false, Scope::sample, std::move(value)};
}

PreferenceFunction make_dpo(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1), eps = args.scheduled("eps", 0);
  return of_pairs("-(1 - eps) log sigmoid(h) - eps log sigmoid(-h)", [beta, eps](const Scored& s) {
    const Tensor h = margin(s) * beta.at(s.clock);
    const double e = eps.at(s.clock);
    return e == 0 ? logistic(h) : logistic(h) * (1 - e) + logistic(neg(h)) * e;
  });
}

PreferenceFunction make_robust(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1), eps = args.scheduled("eps");
  return of_pairs("[-(1 - eps) log sigmoid(h) + eps log sigmoid(-h)] / (1 - 2 eps)", [beta, eps](const Scored& s) {
    const Tensor h = margin(s) * beta.at(s.clock);
    const double e = eps.at(s.clock);
    return (logistic(h) * (1 - e) - logistic(neg(h)) * e) / (1 - 2 * e);
  });
}

PreferenceFunction make_ipo(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1);
  return of_pairs("(h / beta - 1 / (2 beta))^2",
                  [beta](const Scored& s) { return square(margin(s) - 1 / (2 * beta.at(s.clock))); });
}

PreferenceFunction make_hinge(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1);
  return of_pairs("relu(1 - h)", [beta](const Scored& s) { return relu(1.0 - margin(s) * beta.at(s.clock)); });
}

PreferenceFunction make_simpo(TableArgs& args) {
  const Weight beta = args.scheduled("beta", 2), gamma = args.scheduled("gamma", 1);
  return of_pairs("-log sigmoid(beta (S_w - S_l) - gamma)", [beta, gamma](const Scored& s) {
    return logistic((side(s.score, 0) - side(s.score, 1)) * beta.at(s.clock) - gamma.at(s.clock));
  });
}

PreferenceFunction make_kto_pair(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1);
  PreferenceFunction f =
      of_pairs("1 - sigmoid(beta (r_w - KL_l)) + 1 - sigmoid(beta (KL_w - r_l))", [beta](const Scored& s) {
        const Tensor r = s.score - s.reference, w = side(r, 0), l = side(r, 1);
        const auto divergence = [](const Tensor& x) { return stop_gradient(maximum(mean(x), 0.0)); };
        const double b = beta.at(s.clock);
        return sigmoid((divergence(l) - w) * b) + sigmoid((l - divergence(w)) * b);
      });
  f.scope = Scope::batch;
  return f;
}

PreferenceFunction make_redi(TableArgs& args) {
  const Weight alpha = args.scheduled("alpha", .8), gamma = args.scheduled("gamma", 0);
  return of_pairs("-S_w + alpha e^(gamma S_l) S_l", [alpha, gamma](const Scored& s) {
    const Tensor w = side(s.score, 0), l = side(s.score, 1);
    const double a = alpha.at(s.clock), g = gamma.at(s.clock);
    return g == 0 ? l * a - w : stop_gradient(exp(l * g)) * l * a - w;
  });
}

/// Rows of each group, in the order in which groups appear.
std::vector<std::vector<std::int64_t>> groups_of(const Batch& batch) {
  const auto ids =
      lookup(batch.more, Call{"group", {}, "preference"}, "thing known of the texts").values<std::int64_t>();
  std::vector<std::vector<std::int64_t>> groups;
  std::map<std::int64_t, std::size_t> place;
  for (std::size_t b = 0; b < ids.size(); ++b) {
    const auto [found, added] = place.emplace(ids[b], groups.size());
    if (added) groups.emplace_back();
    groups[found->second].push_back(static_cast<std::int64_t>(b));
  }
  return groups;
}

/// softmax(A / scale) with A = (R - mean) / deviation, the biased one; equal rewards give the even law.
std::vector<double> law_of_rewards(const std::vector<double>& rewards, double scale) {
  const auto n = static_cast<double>(rewards.size());
  double mean = 0, var = 0, total = 0;
  for (const double r : rewards) mean += r / n;
  for (const double r : rewards) var += (r - mean) * (r - mean) / n;
  std::vector<double> q;
  for (const double r : rewards) {
    q.push_back(std::exp((r - mean) / ((std::sqrt(var) + 1e-6) * scale)));
    total += q.back();
  }
  for (double& x : q) x /= total;
  return q;
}

PreferenceFunction make_adpo(TableArgs& args) {
  const Weight tau = args.scheduled("tau", .8);
  const std::string of = args.word("of", "reward");
  const double scale = args.number("scale", .5, {.above = 0});
  if (of != "reward" && of != "chosen") throw ConfigError("adpo: its target is of=reward or of=chosen; got {}", of);
  const bool by_reward = of == "reward";
  PreferenceFunction f = of_pairs("KL(q || softmax_k((S_k - R_k) / tau))", [tau, by_reward, scale](const Scored& s) {
    if (s.score.meta()) return s.score;
    const Tensor z = (s.score - s.reference) / tau.at(s.clock);
    Tensors losses;
    for (const std::vector<std::int64_t>& rows : groups_of(s.batch)) {
      const auto n = static_cast<std::int64_t>(rows.size());
      std::vector<double> q(rows.size(), 0);
      q[0] = 1;
      if (by_reward) {
        const auto all = lookup(s.batch.more, Call{"reward", {}, "preference"}, "thing known of the texts").values();
        for (std::size_t k = 0; k < rows.size(); ++k) q[k] = all[static_cast<std::size_t>(rows[k])];
        q = law_of_rewards(q, scale);
      }
      double entropy = 0;
      for (const double p : q) entropy -= p > 0 ? p * std::log(p) : 0;
      const Tensor own = unsqueeze(index_select(z, 0, to(Tensor::of<std::int64_t>(rows, {n}), z.device())), 0);
      losses.push_back(soft_cross_entropy(own, to(Tensor::from(q, {1, n}, z.dtype()), z.device())) - entropy);
    }
    return concat(losses, 0);
  });
  f.lists = true;
  return f;
}
}  // namespace

PreferenceFunction make_preference_function(const Call& call, const NumberMap& numbers) {
  static const Table<PreferenceFunction> table{
      {"dpo", make_dpo},     {"robust", make_robust},     {"ipo", make_ipo},   {"hinge", make_hinge},
      {"simpo", make_simpo}, {"kto_pair", make_kto_pair}, {"redi", make_redi}, {"adpo", make_adpo}};
  TableArgs args(call, numbers);
  PreferenceFunction made = lookup(table, call, "preference")(args);
  args.done();
  return made;
}

}  // namespace retort
