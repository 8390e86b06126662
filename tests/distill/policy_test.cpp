// tests/distill/policy_test.cpp -- sampled-token gradients against exact ones: every text of a table model enumerated.
#include "distill/objectives/policy.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/objectives/preference.h"
#include "distill/objectives/token.h"
#include "distill/text/table_lm.h"
#include "distill/train/controller.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const NumberMap kNone;
constexpr std::int64_t kVocab = 3, kLength = 2;

TableLm table(std::uint64_t seed) {
  TableLm lm(kVocab, 1 + kLength, 1.0);
  convert(lm, DType::f64);
  initialize(lm, Rng(seed));
  return lm;
}

/// One text: a prompt of one token, and `response`.
Batch text(const std::vector<std::int64_t>& response) {
  std::vector<std::int64_t> x{0};
  x.insert(x.end(), response.begin(), response.end());
  std::vector<double> mask(x.size(), 1);
  mask[0] = 0;
  const auto width = static_cast<std::int64_t>(x.size());
  Batch b;
  b.x = Tensor::of<std::int64_t>(x, {1, width});
  b.more["mask"] = Tensor::from(mask, {1, width}, DType::f64);
  b.more["prompt_length"] = Tensor::full({1}, 1, DType::i64);
  b.sample = b.index = Tensor::zeros({1}, DType::i64);
  return b;
}

std::vector<Batch> all_texts() {
  std::vector<Batch> all;
  for (std::int64_t a = 0; a < kVocab; ++a)
    for (std::int64_t b = 0; b < kVocab; ++b) all.push_back(text({a, b}));
  return all;
}

/// The student's table, live, and what both models say of a text.
struct Bench {
  TableLm student = table(1), teacher = table(2);
  Tensors answer(const TableLm& lm, const Batch& b, const Tensor& live = {}) const {
    Ctx ctx;
    const Tensor h = lm.hidden(b.x, ctx);
    return {h, live.defined() ? live : lm.table.value};
  }
  Tensor log_prob(const TableLm& lm, const Batch& b, const Tensor& live = {}) const {
    return token_log_prob(answer(lm, b, live), b, {});
  }
  double probability(const Batch& b) const { return std::exp(sum(log_prob(student, b)).item()); }
};

struct Expected {
  double value = 0;
  Tensor gradient;
};

/// sum_y pi(y) f(y) with pi held fixed, and its gradient in the student's table.
Expected expectation(const Bench& bench, const std::function<Tensor(const Batch&, const Tensor& live)>& f) {
  Expected e;
  for (const Batch& b : all_texts()) {
    Tape tape;
    const Tensor live = tape.watch(bench.student.table.value);
    const double p = bench.probability(b);
    const Tensor value = f(b, live) * p;
    e.value += value.item();
    const Tensor g = tape.gradients(value, std::span(&live, 1))[0];
    e.gradient = e.gradient.defined() ? e.gradient + g : g;
  }
  return e;
}

Expected token(const Bench& bench, const std::string& divergence) {
  Config node = Config::parse("{student: s, target: t, reduce: sum/token, divergence: " + divergence + "}", "term");
  const auto term = make_token(parse_token("kd", node, kNone));
  return expectation(bench, [&](const Batch& b, const Tensor& live) {
    const Signals signals{bench.answer(bench.student, b, live), bench.answer(bench.teacher, b)};
    return term->eval({b, signals, {}, {}}).total;
  });
}

Expected policy(const Bench& bench, const std::string& how) {
  Config node = Config::parse("{policy: s, reduce: sum/token, " + how + "}", "term");
  const auto term = make_policy(parse_policy("pg", node, kNone));
  return expectation(bench, [&](const Batch& b, const Tensor& live) {
    Batch sampled = b;
    sampled.more["lp_old"] = bench.log_prob(bench.student, b);
    sampled.more["is_weight"] = sampled.more.at("mask");
    Signals signals{{bench.log_prob(bench.student, b, live)}};
    if (term->reads().size() > 1) signals.push_back({bench.log_prob(bench.teacher, b)});
    return term->eval({sampled, signals, {}, {}}).total;
  });
}

/// KL(pi || p_T) of whole texts, pi live.
Expected sequence_kl(const Bench& bench) {
  Tape tape;
  const Tensor live = tape.watch(bench.student.table.value);
  Tensor total;
  for (const Batch& b : all_texts()) {
    const Tensor lp = sum(bench.log_prob(bench.student, b, live)), lq = sum(bench.log_prob(bench.teacher, b));
    const Tensor part = exp(lp) * (lp - lq);
    total = total.defined() ? total + part : part;
  }
  return {total.item(), tape.gradients(total, std::span(&live, 1))[0]};
}

double size(const Tensor& g) { return std::sqrt(sum(square(g)).item()); }
}  // namespace

TEST_CASE(
    "policy: the chain rule of the reverse KL holds, and its score-function part is what on-policy methods drop") {
  const Bench bench;
  const Expected whole = sequence_kl(bench), dense = token(bench, "kl(reverse)");
  CHECK(dense.value == doctest::Approx(whole.value).epsilon(1e-12));
  CHECK(size(dense.gradient - whole.gradient) > .01 * size(whole.gradient));
  // Rewards to go put it back, exactly; those after the token alone are the part that was dropped.
  const Expected to_go = policy(bench, "surrogate: reinforce, advantage: [[1, to_go(log_ratio(t student))]]");
  CHECK(relative_error(to_go.gradient, whole.gradient) < 1e-12);
  const Expected later = policy(bench, "surrogate: reinforce, advantage: [[1, after(log_ratio(t student))]]");
  CHECK(relative_error(dense.gradient + later.gradient, whole.gradient) < 1e-12);
}

TEST_CASE("policy: sampled estimators have the gradients of the divergences they stand for, k1 none at all") {
  const Bench bench;
  const Expected reverse = token(bench, "kl(reverse)"), forward = token(bench, "kl(forward)");
  const double scale = size(reverse.gradient);
  CHECK(scale > .1);
  CHECK(size(reverse.gradient - forward.gradient) > .1 * scale);
  const Expected sampled = policy(bench, "surrogate: reinforce, advantage: [[1, log_ratio(t student)]]");
  CHECK(relative_error(sampled.gradient, reverse.gradient) < 1e-12);
  const Expected k1 = policy(bench, "surrogate: k1(t)"), k2 = policy(bench, "surrogate: k2(t)"),
                 k3 = policy(bench, "surrogate: k3(t)"), rho_k3 = policy(bench, "surrogate: rho_k3(t)");
  CHECK(size(k1.gradient) < 1e-12);
  CHECK(relative_error(k2.gradient, reverse.gradient) < 1e-12);
  CHECK(relative_error(k3.gradient, forward.gradient) < 1e-12);
  CHECK(relative_error(rho_k3.gradient, reverse.gradient) < 1e-12);
  for (const Expected& e : {k1, k3, rho_k3}) CHECK(e.value == doctest::Approx(reverse.value).epsilon(1e-12));
  CHECK(std::abs(k2.value - reverse.value) > 1e-3);
  // At the sampler's own weights a clipped surrogate and a capped one are REINFORCE.
  for (const char* how : {"ppo(.2 .2)", "capped(2)"}) {
    CAPTURE(how);
    const Expected e = policy(bench, fmt::format("surrogate: {}, advantage: [[1, log_ratio(t student)]]", how));
    CHECK(relative_error(e.gradient, reverse.gradient) < 1e-12);
  }
}

namespace {
SurrogateInput at_ratio(double ratio, double advantage) {
  SurrogateInput in;
  in.log_prob = Tensor::full({1}, std::log(ratio) - 1, DType::f64);
  in.old = Tensor::full({1}, -1, DType::f64);
  in.advantage = Tensor::full({1}, advantage, DType::f64);
  in.is_weight = Tensor::full({1}, .5, DType::f64);
  return in;
}
double loss(const std::string& how, double ratio, double advantage) {
  return make_surrogate(parse_call(how, "test"), kNone).loss(at_ratio(ratio, advantage)).item();
}
}  // namespace

TEST_CASE("policy: clips of the ratio, one-sided, dual, and with the sampler's weight") {
  CHECK(loss("ppo(.2 .28)", 1.5, 1) == doctest::Approx(-1.28));
  CHECK(loss("ppo(.2 .28)", .5, 1) == doctest::Approx(-.5));
  CHECK(loss("ppo(.2 .28)", .5, -1) == doctest::Approx(.8));
  CHECK(loss("ppo(.2 .28)", 20, -1) == doctest::Approx(20));
  CHECK(loss("ppo(.2 .28 dual=10)", 20, -1) == doctest::Approx(10));
  CHECK(loss("ppo(.2 .28 dual=10)", 20, 1) == doctest::Approx(-1.28));
  CHECK(loss("ppo(.2 .28 dual=10)", 9, -1) == doctest::Approx(9));
  CHECK(loss("ppo(.2 .2 is=true)", 1.5, 1) == doctest::Approx(-.75));
  CHECK(loss("capped(2)", 9, 1) == doctest::Approx(-2 * (std::log(9.) - 1)));
  // The weight of others' tokens has its largest slope where pi = c.
  SurrogateInput in = at_ratio(1, 1);
  in.off_policy = Tensor::full({1}, 1, DType::f64);
  const auto shaped = make_surrogate(parse_call("shaped(.1)", "test"), kNone);
  const double p = std::exp(-1.);
  CHECK(shaped.loss(in).item() == doctest::Approx(-p / (p + .1)));
}

TEST_CASE("policy: advantages of groups, returns and budgets") {
  Batch b;
  b.more["reward"] = Tensor::from(std::vector<double>{1, 0, 0, 1, 1, 1}, {6}, DType::f64);
  b.more["group"] = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 0, 0, 7, 7, 7}, {6});
  PolicyData data{b, {0, 0, 1, 2, 3, 4, 5}, 6, {}, {}};
  data.log_prob["student"] = {-1, -2, -1, -1, -1, -1, -1};
  data.log_prob["t"] = {-2, -1, -4, -1, -1, -1, -1};
  const auto value = [&](const char* how) { return make_advantage(parse_call(how, "test"), kNone).value(data); };
  const auto group = value("group(std)").values, centred = value("group(centre)").values, rloo = value("rloo").values;
  CHECK(centred[0] == doctest::Approx(2. / 3));
  CHECK(group[0] == doctest::Approx((2. / 3) / std::sqrt(1. / 3)).epsilon(1e-5));
  CHECK(rloo[0] == doctest::Approx(1));
  CHECK(rloo[1] == doctest::Approx(-.5));
  for (std::size_t i = 3; i < 6; ++i) CHECK(group[i] == 0);  // equal rewards teach nothing
  CHECK(value("to_go(log_ratio(t student))").values == std::vector<double>{0, 1, -3, 0, 0, 0, 0});
  CHECK(value("to_go(log_ratio(t student) mean=true)").values[0] == 0);
  CHECK(value("to_go(log_ratio(t student) gamma=0)").values[0] == -1);
  CHECK(value("after(log_ratio(t student))").values == std::vector<double>{1, 0, 0, 0, 0, 0, 0});
  CHECK(value("bounded(log_ratio(t student) 2)").values[2] == -2);
  // Response 1 costs log(s / t) = 3: over a limit of 2 it earns minus 5 times the excess.
  CHECK(value("budget(t 2 5)").values == std::vector<double>{1, -5, 0, 1, 1, 1});
  CHECK(value("budget(t 9 5)").values == b.more.at("reward").values());
  CHECK(make_advantage(parse_call("whiten(to_go(log_ratio(t student)))", "test"), kNone).scope == Scope::batch);
  CHECK_THROWS_WITH_AS(make_advantage(parse_call("rewrad", "test"), kNone), doctest::Contains("reward"), ConfigError);
}

TEST_CASE("policy: unlike responses are rewarded by the gradient of the chance that two differ") {
  // Responses of one of three tokens: E[1 - cos] = 1 - sum p^2, whose slope in logit k is -2 p_k (p_k - sum p^2).
  const std::vector<double> p{.2, .5, .3};
  const double collision = .04 + .25 + .09;
  std::vector<double> slope(3, 0);
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 3; ++j) {
      Batch b;
      b.x = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, i, 0, j}, {2, 2});
      b.more["mask"] = Tensor::from(std::vector<double>{0, 1, 0, 1}, {2, 2}, DType::f64);
      b.more["group"] = Tensor::zeros({2}, DType::i64);
      const PolicyData data{b, {0, 1}, 2, {}, {}};
      const auto apart = make_advantage(parse_call("distinct", "test"), kNone).value(data).values;
      const std::int64_t drawn[] = {i, j};
      for (std::size_t row = 0; row < 2; ++row)
        for (std::size_t k = 0; k < 3; ++k) {
          const double by_logit = (static_cast<std::size_t>(drawn[row]) == k ? 1 : 0) - p[k];
          slope[k] += p[static_cast<std::size_t>(i)] * p[static_cast<std::size_t>(j)] * apart[row] * by_logit;
        }
    }
  for (std::size_t k = 0; k < 3; ++k) CHECK(slope[k] == doctest::Approx(-2 * p[k] * (p[k] - collision)));
}

namespace {
/// A preference term on scores of responses of one token each.
struct Preferred {
  double value;
  std::vector<double> gradient;
};
Preferred prefer(const std::string& fn, const std::vector<double>& scores, const std::vector<double>& reference,
                 const std::string& score = "sum") {
  const auto n = static_cast<std::int64_t>(scores.size());
  Batch b;
  b.x = Tensor::zeros({n, 2}, DType::i64);
  std::vector<double> mask, lp, ref;
  std::vector<std::int64_t> group;
  for (std::int64_t i = 0; i < n; ++i) {
    mask.insert(mask.end(), {0, 1});
    lp.insert(lp.end(), {0, scores[static_cast<std::size_t>(i)]});
    ref.insert(ref.end(), {0, reference[static_cast<std::size_t>(i)]});
    group.push_back(i / 2);
  }
  b.more["mask"] = Tensor::from(mask, {n, 2}, DType::f64);
  b.more["group"] = Tensor::of<std::int64_t>(group, {n});
  Config node = Config::parse(fmt::format("{{policy: s, reference: r, score: {}, fn: {}}}", score, fn), "term");
  const auto term = make_preference(parse_preference("p", node, kNone));
  Tape tape;
  const Tensor live = tape.watch(Tensor::from(lp, {n, 2}, DType::f64));
  const Signals signals{{live}, {Tensor::from(ref, {n, 2}, DType::f64)}};
  const Tensor total = term->eval({b, signals, {}, {}}).total / term->units(b);
  return {total.item(), tape.gradients(total, std::span(&live, 1))[0].values()};
}
}  // namespace

TEST_CASE("preference: values where policy and reference agree, and the family's identities") {
  const std::vector<double> s{-1, -2, -.5, -3}, r{-1.5, -1, -.2, -2};
  CHECK(prefer("dpo(.1)", r, r).value == doctest::Approx(std::log(2)));
  CHECK(prefer("ipo(.1)", r, r).value == doctest::Approx(1 / (4 * .01)));
  CHECK(prefer("hinge(.1)", r, r).value == doctest::Approx(1));
  CHECK(prefer("kto_pair(.1)", r, r).value == doctest::Approx(1));
  const double h = .5 * (.5 + 1), k = .5 * (-.3 + 1);
  CHECK(prefer("dpo(.5)", s, r).value == doctest::Approx((std::log1p(std::exp(-h)) + std::log1p(std::exp(-k))) / 2));
  // Two responses and a one-hot target: DPO at beta = 1 / tau. A soft target is not.
  CHECK(prefer("adpo(tau=2 of=chosen)", s, r).value == doctest::Approx(prefer("dpo(.5)", s, r).value));
  CHECK(std::abs(prefer("adpo(tau=1 of=chosen)", s, r).value - prefer("dpo(.5)", s, r).value) > .01);
  // Labels wrong half of the time say nothing; robust undoes conservative.
  for (const double g : prefer("dpo(.5 eps=.5)", r, r).gradient) CHECK(std::abs(g) < 1e-12);
  const double c = prefer("dpo(.5 eps=.2)", s, r).value, d = prefer("dpo(.5)", s, r).value;
  CHECK(prefer("robust(.5 .2)", s, r).value != doctest::Approx(c));
  CHECK(prefer("robust(.5 0)", s, r).value == doctest::Approx(d));
  // SimPO without margin, over beta / 2, tends to REDI with equal weights as beta falls; with alpha .8 it does not.
  const auto simpo = prefer("simpo(.0001 0)", s, r, "mean").gradient, redi = prefer("redi(1)", s, r, "mean").gradient,
             other = prefer("redi(.8)", s, r, "mean").gradient;
  double worst = 0;
  for (std::size_t i = 0; i < redi.size(); ++i) {
    CHECK(simpo[i] / .00005 == doctest::Approx(redi[i]).epsilon(1e-3));
    worst = std::max(worst, std::abs(other[i] - redi[i]));
  }
  CHECK(worst > .05);
}

TEST_CASE("controllers: shares of domains follow the gap of perplexities, own responses a loss that no longer falls") {
  const auto share =
      make_controller(parse_call("domain_share(domain=1 domains=2 student=s teacher=t every=1 mix=.5)", "test"));
  CHECK(share->number() == doctest::Approx(.5));
  const auto show = [](double gap) {
    return Metrics{{"loss/s0", 1}, {"loss/t0", 1}, {"loss/s1", 1 + gap}, {"loss/t1", 1}};
  };
  share->update(show(0), {});
  CHECK(share->number() == doctest::Approx(.5));
  share->update(show(std::log(2.)), {});
  CHECK(share->number() == doctest::Approx(.6155).epsilon(1e-4));
  for (int i = 0; i < 50; ++i) share->update(show(3), {});
  CHECK(share->number() <= .75 + 1e-12);  // no domain falls below (1 - a) / N

  const auto phi = make_controller(parse_call("off_policy(term=v every=2 tolerance=.1 step=.25)", "test"));
  for (const double v : {3., 3., 2.95, 2.95}) phi->update({{"loss/v", v}}, {});
  CHECK(phi->number() == 0);
  for (const double v : {3.2, 3.2}) phi->update({{"loss/v", v}}, {});
  CHECK(phi->number() == doctest::Approx(.25));
  for (int i = 0; i < 40; ++i) phi->update({{"loss/v", 4. + i}}, {});
  CHECK(phi->number() == 1);
}
