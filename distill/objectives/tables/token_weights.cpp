// distill/objectives/tables/token_weights.cpp -- detached weights of tokens.
#include <algorithm>
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/tokens.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// 0 for the first k tokens of each response, 1 for the rest.
TokenWeight make_skip(TableArgs& args) {
  const auto k = static_cast<double>(args.integer("k", {.min = 0}));
  return [k](const TokenComparison& c) {
    const Tensor head = index_select(cast(c.batch.more.at("prompt_length"), DType::f64), 0, c.places.row);
    const Tensor nth = cast(c.places.at, DType::f64) - head;
    return cast(less_equal(scalar_like(nth, k), nth), DType::f64);
  };
}

/// w / (scale TV(p_1, p_2) + floor), of the first two targets: AlignDistil divides by the strength of its
/// extrapolation.
TokenWeight make_over_tvd(TableArgs& args) {
  const Weight over = args.scheduled("over", 1), scale = args.scheduled("scale"), floor = args.scheduled("floor", .001);
  return [over, scale, floor](const TokenComparison& c) {
    const Tensor w = tv(c.targets.at(0), c.targets.at(1)) * scale.at(c.clock) + floor.at(c.clock);
    return over.at(c.clock) / w;
  };
}

/// Linear interpolation between order statistics.
double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

/// How much the contexts after the first target agree about the token (UniSD, 2026). token: u = Var_k log p^k_y over
/// its .95 quantile in the row, at most 10, w = max(1 / (1 + g u), .01); sequence: w = exp(-g Var_k mean_t log p^k_y).
/// Variances are biased, as published.
TokenWeight make_agreement(TableArgs& args) {
  const Weight g = args.scheduled("g", 1);
  const std::string per = args.word("per", "token");
  if (per != "token" && per != "sequence") throw ConfigError("agreement: per token or per sequence; got {}", per);
  const bool by_token = per == "token";
  return [g, by_token](const TokenComparison& c) {
    const std::size_t contexts = c.targets.size() - 1;
    if (contexts < 2) throw ConfigError("agreement: at least two contexts beside the first; got {}", contexts);
    Tensors lp;
    for (std::size_t k = 1; k <= contexts; ++k) {
      const Tensor token = to(c.places.token, c.targets[k].device());
      const Tensor own = cast(on_host(neg(cross_entropy(c.targets[k], token))), DType::f64);
      lp.push_back(by_token ? own : sum_rows(own * c.places.share, c.places));
    }
    const Tensor u = var(stack(lp, 0), {0}, 0);
    const double strength = g.at(c.clock);
    if (!by_token) return by_place(exp(u * -strength), c.places);
    if (u.meta()) return u;
    std::vector<double> w = u.values(), scale(static_cast<std::size_t>(c.places.rows), 0);
    const auto row = c.places.row.values<std::int64_t>();
    for (std::int64_t b = 0; b < c.places.rows; ++b) {
      std::vector<double> own;
      for (std::size_t i = 0; i < w.size(); ++i)
        if (row[i] == b) own.push_back(w[i]);
      if (!own.empty()) scale[static_cast<std::size_t>(b)] = quantile(own, .95);
    }
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double unit = scale[static_cast<std::size_t>(row[i])];
      const double relative = unit > 0 ? std::min(w[i] / unit, 10.0) : 0;
      w[i] = std::max(1 / (1 + strength * relative), .01);
    }
    return Tensor::from(w, u.shape(), DType::f64);
  };
}

/// The source's own importance weight of each token, at most `cap`.
TokenWeight make_is(TableArgs& args) {
  const double cap = args.number("cap", INFINITY);
  return [cap](const TokenComparison& c) { return minimum(by_place(c.batch.more.at("is_weight"), c.places), cap); };
}
}  // namespace

TokenWeight make_token_weight(const Call& call, const NumberMap& numbers) {
  static const Table<TokenWeight> table{
      {"skip", make_skip}, {"over_tvd", make_over_tvd}, {"agreement", make_agreement}, {"is", make_is}};
  TableArgs args(call, numbers);
  TokenWeight weight = lookup(table, call, "weight")(args);
  args.done();
  return weight;
}

}  // namespace retort
