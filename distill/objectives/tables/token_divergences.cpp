// distill/objectives/tables/token_divergences.cpp -- divergences of next-token distributions that the fused output
// layer knows, alone or in sums: s = softmax(student / T_s), p = softmax(target / T_t).
#include "distill/objectives/tables/tokens.h"

namespace retort {

namespace {
using Form = DivergenceKind;
using Parts = std::vector<std::pair<double, DivergenceAttrs>>;

TokenDivergence of_parts(std::string formula, std::function<Parts(const Clock&)> parts) {
  TokenDivergence d;
  d.formula = std::move(formula);
  d.parts = std::move(parts);
  return d;
}

TokenDivergence one(std::string formula, Form kind) {
  return of_parts(std::move(formula), [kind](const Clock&) { return Parts{{1, {kind}}}; });
}

TokenDivergence make_kl(TableArgs& args) {
  const Call direction = args.call("direction");
  if (direction.name == "forward") return one("KL(p || s)", Form::kl_forward);
  if (direction.name == "reverse") return one("KL(s || p)", Form::kl_reverse);
  direction.fail("the direction is forward, KL(teacher || student), or reverse, KL(student || teacher)");
}

/// Agarwal et al. 2024. As libraries do, the ends are the KLs themselves, not the limits beta KL and (1 - beta) KL.
TokenDivergence make_gkd(TableArgs& args) {
  const Weight beta = args.scheduled("beta");
  return of_parts(
      "beta KL(p || M) + (1 - beta) KL(s || M), M = beta p + (1 - beta) s; KL(p || s) at 0, KL(s || p) at 1",
      [beta](const Clock& clock) {
        const double b = beta.at(clock);
        if (b <= 0) return Parts{{1, {Form::kl_forward}}};
        if (b >= 1) return Parts{{1, {Form::kl_reverse}}};
        return Parts{{1, {Form::js, b}}};
      });
}

/// DistiLLM, Ko et al. 2024: a is the first argument's share of the mixture; 0 is the plain KL.
TokenDivergence make_skew(TableArgs& args, bool reverse) {
  const Weight a = args.scheduled("a", .1);
  const Form plain = reverse ? Form::kl_reverse : Form::kl_forward,
             kind = reverse ? Form::skew_reverse : Form::skew_forward;
  return of_parts(reverse ? "KL(s || a s + (1 - a) p)" : "KL(p || a p + (1 - a) s)",
                  [a, plain, kind, reverse](const Clock& clock) {
                    const double share = a.at(clock);
                    if (share <= 0) return Parts{{1, {plain}}};
                    return Parts{{1, {kind, reverse ? 1 - share : share}}};
                  });
}

TokenDivergence make_mixed(TableArgs& args) {
  const Weight share = args.scheduled("share");
  return of_parts("w KL(p || s) + (1 - w) KL(s || p)", [share](const Clock& clock) {
    const double w = share.at(clock);
    return Parts{{w, {Form::kl_forward}}, {1 - w, {Form::kl_reverse}}};
  });
}
}  // namespace

const Table<TokenDivergence>& token_divergences() {
  static const Table<TokenDivergence> entries{
      {"kl", make_kl},
      {"gkd", make_gkd},
      {"skew", [](TableArgs& args) { return make_skew(args, false); }},
      {"skew_reverse", [](TableArgs& args) { return make_skew(args, true); }},
      {"tv", [](TableArgs&) { return one("sum_v |p_v - s_v| / 2", Form::tv); }},
      {"jeffreys", [](TableArgs&) { return one("KL(p || s) + KL(s || p)", Form::jeffreys); }},
      {"mixed", make_mixed},
  };
  return entries;
}

TokenDivergence make_token_divergence(const Call& call, const NumberMap& numbers) {
  static const Table<TokenDivergence> all = [] {
    Table<TokenDivergence> both = token_divergences();
    both.insert(special_token_divergences().begin(), special_token_divergences().end());
    return both;
  }();
  TableArgs args(call, numbers);
  TokenDivergence d = lookup(all, call, "divergence")(args);
  args.done();
  return d;
}

}  // namespace retort
