// distill/objectives/tables/token_losses.cpp -- comparisons of a student's next-token logits that need them whole.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/objectives/tables/tokens.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
TokenDivergence valued(std::string formula, std::function<Tensor(const TokenComparison&)> value) {
  TokenDivergence d;
  d.formula = std::move(formula);
  d.value = std::move(value);
  return d;
}

Tensor log_s(const TokenComparison& c) { return log_softmax(tempered(c.student, c.T_student)); }
Tensor log_p(const TokenComparison& c) { return log_softmax(tempered(c.target, c.T_target)); }

Tensor at_token(const Tensor& log_prob, const Tensor& token) {
  return squeeze(gather(log_prob, 1, unsqueeze(token, 1)), 1);
}

TokenDivergence make_ce(TableArgs& args) {
  const double smoothing = args.number("smoothing", 0.0, {.min = 0, .max = 1});
  TokenDivergence d = valued("-log s_y", [smoothing](const TokenComparison& c) {
    return cross_entropy(tempered(c.student, c.T_student), to(c.places.token, c.student.device()), smoothing);
  });
  d.against = TokenDivergence::Against::tokens;
  return d;
}

/// The cost of not doing what the expert would (ImitKD, Lin et al. 2020).
TokenDivergence make_argmax_ce(TableArgs&) {
  return valued("-log s_{argmax p}", [](const TokenComparison& c) {
    return cross_entropy(tempered(c.student, c.T_student), argmax(c.target, 1));
  });
}

/// KL(p || s) with every entry of the sum cut at `clip`: a few style tokens cannot take all of the gradient, and the
/// sum may be negative (OPSD, Zhao et al. 2026).
TokenDivergence make_clipped_kl(TableArgs& args) {
  const double clip = args.number("clip");
  return valued("sum_v min(p_v log(p_v / s_v), clip)", [clip](const TokenComparison& c) {
    const Tensor p = log_p(c);
    const Tensor terms = exp(p) * (p - log_s(c));
    return sum(where(less(terms, scalar_like(terms, clip)), terms, scalar_like(terms, clip)), {1});
  });
}

TokenDivergence make_alpha(TableArgs& args) {
  const Weight alpha = args.scheduled("alpha");
  return valued("(sum_v p_v^a s_v^(1 - a) - 1) / (a (a - 1))", [alpha](const TokenComparison& c) {
    const double a = alpha.at(c.clock);
    return (sum(exp(log_p(c) * a + log_s(c) * (1 - a)), {1}) - 1.0) / (a * (a - 1));
  });
}

/// The head is the smallest set of the target's likeliest tokens with mass mu; forward KL counts by the gap in the
/// head, reverse KL by that in the tail (Wu et al. 2024).
TokenDivergence make_akl(TableArgs& args) {
  const double mu = args.number("mu", .5, {.min = 0, .max = 1});
  return valued("(G_h KL(p || s) + G_t KL(s || p)) / (G_h + G_t), G = sum |p - s| over head or tail, constant",
                [mu](const TokenComparison& c) {
                  const Tensor s = log_s(c), p = log_p(c), prob = exp(p);
                  const Sorted sorted = sort(prob, 1, true);
                  const Tensor before = cumsum(sorted.values, 1) - sorted.values;
                  const Tensor in_order = cast(less(before, scalar_like(before, mu)), prob.dtype());
                  const Tensor head = scatter_add(in_order, 1, sorted.indices, prob.size(1));
                  const Tensor gap = stop_gradient(abs(prob - exp(s)));
                  const Tensor h = sum(head * gap, {1}), t = sum((1.0 - head) * gap, {1}), total = h + t;
                  const Tensor none = equal(total, scalar_like(total, 0));
                  const Tensor half = Tensor::full(total.shape(), .5, total.dtype(), total.device());
                  const Tensor share = stop_gradient(where(none, half, h / where(none, half, total)));
                  return share * kl_forward(s, p) + (1.0 - share) * kl_reverse(s, p);
                });
}

/// Universal logit distillation (Boizard et al. 2024): both probability vectors sorted, the shorter one padded with 0.
TokenDivergence make_uld(TableArgs&) {
  TokenDivergence d = valued("sum_i |s_(i) - p_(i)|, sorted from the largest", [](const TokenComparison& c) {
    Tensor s = sort(exp(log_s(c)), 1, true).values, p = sort(exp(log_p(c)), 1, true).values;
    const std::int64_t wide = std::max(s.size(1), p.size(1));
    s = pad(s, {0, 0}, {0, wide - s.size(1)});
    p = pad(p, {0, 0}, {0, wide - p.size(1)});
    return sum(abs(s - p), {1});
  });
  d.ragged = true;
  return d;
}

/// Swing distillation (Li et al. 2022): KL with a temperature of each token, low .. high by how private it is (the
/// batch's `private`), times T^2. The target takes noise * private * |unit normal keyed by the token| before it is
/// normalised.
TokenDivergence make_private_kl(TableArgs& args) {
  const Weight low = args.scheduled("low", 1), high = args.scheduled("high", 4), noise = args.scheduled("noise", 0);
  return valued("T^2 KL(p~ || s), T = low + (high - low) private, p~ ~ max(p + noise private n, 0)",
                [low, high, noise](const TokenComparison& c) {
                  const Tensor score = unsqueeze(beside(c.student, by_place(c.batch.more.at("private"), c.places)), 1);
                  const Tensor T = score * (high.at(c.clock) - low.at(c.clock)) + low.at(c.clock);
                  Tensor p = softmax(c.target / T);
                  if (const double scale = noise.at(c.clock); scale > 0 && !p.meta()) {
                    std::vector<double> n(static_cast<std::size_t>(p.numel()));
                    const auto rows = c.places.row.values<std::int64_t>();
                    const auto samples = c.batch.sample.values<std::int64_t>();
                    const auto at = c.places.at.values<std::int64_t>();
                    const std::int64_t vocab = p.size(1);
                    for (std::size_t i = 0; i < rows.size(); ++i)
                      fill_normal(
                          std::span(n).subspan(i * static_cast<std::size_t>(vocab), static_cast<std::size_t>(vocab)),
                          c.rng.stream("private", c.step),
                          static_cast<std::uint64_t>(samples[static_cast<std::size_t>(rows[i])]),
                          static_cast<std::uint64_t>(at[i] * vocab));
                    p = maximum(p + to(Tensor::from(n, p.shape(), p.dtype()), p.device()) * score * scale, 1e-12);
                    p = p / sum(p, {1}, true);
                  }
                  return squeeze(square(T), 1) * kl_forward(c.student / T, log(p));
                });
}

/// Direct preference KD as released (Li et al. 2024): at each position the teacher's favourite is chosen and the
/// student's is rejected, both constants.
TokenDivergence make_dpkd(TableArgs& args) {
  const Weight beta = args.scheduled("beta", .1);
  return valued("-log sigmoid(beta [log s_a / s_b - log p_a / p_b]), a = argmax p, b = argmax s",
                [beta](const TokenComparison& c) {
                  const Tensor a = argmax(c.target, 1), b = argmax(stop_gradient(c.student), 1);
                  const auto gap = [&](const Tensor& z) { return at_token(z, a) - at_token(z, b); };
                  return softplus((gap(log_p(c)) - gap(log_s(c))) * beta.at(c.clock));
                });
}

/// The target is an advantage A, not logits: a policy gradient of horizon one over the whole vocabulary (ADPA, Gao et
/// al. 2025).
TokenDivergence make_advantage(TableArgs&) {
  return valued("-sum_v s_v A_v", [](const TokenComparison& c) { return neg(sum(exp(log_s(c)) * c.target, {1})); });
}

TokenDivergence make_state_sq(TableArgs&) {
  TokenDivergence d = valued("|h_s - h_t|^2 / d", [](const TokenComparison& c) {
    return mean(square(rows(c.student) - rows(c.target)), {1});
  });
  d.against = TokenDivergence::Against::hidden;
  return d;
}
}  // namespace

const Table<TokenDivergence>& special_token_divergences() {
  static const Table<TokenDivergence> entries{
      {"ce", make_ce},
      {"argmax_ce", make_argmax_ce},
      {"clipped_kl", make_clipped_kl},
      {"alpha", make_alpha},
      {"akl", make_akl},
      {"uld", make_uld},
      {"private_kl", make_private_kl},
      {"dpkd", make_dpkd},
      {"advantage", make_advantage},
      {"state_sq", make_state_sq},
  };
  return entries;
}

}  // namespace retort
