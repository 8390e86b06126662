// tests/distill/token_test.cpp -- the term Token: the fused output layer against logits, masks, views, supports.
#include "distill/objectives/token.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "distill/objectives/tables/views.h"
#include "distill/text/table_lm.h"
#include "distill/train/job.h"
#include "nn/module.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
const NumberMap kNone;

/// Three rows with prompts of 1, 2, 3 tokens; position 0 of none counts.
Batch small_batch(std::int64_t vocab) {
  Batch b;
  std::vector<std::int64_t> x;
  for (std::int64_t i = 0; i < 3 * 6; ++i) x.push_back((7 * i + i * i) % vocab);
  b.x = Tensor::of<std::int64_t>(x, {3, 6});
  b.more["mask"] =
      Tensor::from(std::vector<double>{0, 1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0}, {3, 6}, DType::f64);
  b.more["prompt_length"] = Tensor::of<std::int64_t>(std::vector<std::int64_t>{1, 2, 3}, {3});
  b.sample = b.index = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 1, 2}, {3});
  return b;
}

std::unique_ptr<Term> term_of(const std::string& text) {
  Config node = Config::parse(text, "term");
  return make_token(parse_token("kd", node, kNone));
}

struct Valued {
  double value;
  Tensors gradients;
};
/// The term on these signals and its gradients in the student's.
Valued run(const Term& term, const Batch& batch, Tensors student, const std::vector<Tensors>& targets,
           const TensorMap& states = {}) {
  Tape tape;
  for (Tensor& t : student) t = tape.watch(t);
  Signals signals{student};
  signals.insert(signals.end(), targets.begin(), targets.end());
  const Part part = term.eval({batch, signals, {}, states});
  return {part.total.item(), tape.gradients(part.total, student)};
}
}  // namespace

TEST_CASE("token: the fused output layer gives what logits give, value and gradient (f64, 1e-12)") {
  const Batch batch = small_batch(7);
  const Tensor h_s = randn({3, 6, 4}, 1), w_s = randn({7, 4}, 2), h_t = randn({3, 6, 5}, 3), w_t = randn({7, 5}, 4);
  const Tensor z_t = linear(h_t, w_t);
  for (const char* divergence : {"kl(forward)", "kl(reverse)", "gkd(.3)", "gkd(0)", "gkd(1)", "skew(.1)",
                                 "skew_reverse(.1)", "tv", "jeffreys", "mixed(.3)"})
    for (const char* more : {"", ", T: [2, 1.5], T2: true", ", support: top(3 by=teacher tail=bucket)",
                             ", support: top(2 by=student tail=bucket)", ", support: top(3 tail=renormalise)"}) {
      CAPTURE(divergence);
      CAPTURE(more);
      const auto term = term_of(
          fmt::format("{{student: student, target: teacher, divergence: {}, reduce: sum/token{}}}", divergence, more));
      const Valued fused = run(*term, batch, {h_s, w_s}, {{h_t, w_t}});
      Tape tape;
      const Tensor h = tape.watch(h_s), w = tape.watch(w_s);
      const Signals signals{{linear(h, w)}, {z_t}};
      const Part whole = term->eval({batch, signals, {}, {}});
      const Tensors leaves{h, w};
      const Tensors g = tape.gradients(whole.total, leaves);
      CHECK(std::abs(fused.value - whole.total.item()) < 1e-12);
      CHECK(relative_error(fused.gradients[0], g[0]) < 1e-12);
      CHECK(relative_error(fused.gradients[1], g[1]) < 1e-12);
    }
}

TEST_CASE("token: what the mask leaves out changes nothing, and reductions name their units") {
  Batch batch = small_batch(7);
  const Tensor student = randn({3, 6, 7}, 5), teacher = randn({3, 6, 7}, 6);
  const auto value = [&](const std::string& reduce) {
    const auto term = term_of("{student: student, target: teacher, divergence: kl(forward), reduce: " + reduce + "}");
    return std::pair{run(*term, batch, {student}, {{teacher}}).value, term->units(batch)};
  };
  const auto token = value("sum/token"), mean = value("tokmean/sequence"), sequence = value("sum/sequence"),
             constant = value("sum/const(4)");
  CHECK(token.second == 9);
  CHECK(mean.second == 3);
  CHECK(constant.second == 12);
  CHECK(sequence.first == doctest::Approx(token.first));
  // tokmean/sequence by hand: every row's tokens over their number.
  const Tensor kl = sum(exp(log_softmax(teacher)) * (log_softmax(teacher) - log_softmax(student)), {2});
  const auto d = kl.values(), m = batch.more.at("mask").values();
  double expected = 0, all = 0;
  const double lengths[3] = {5, 2, 2};
  for (std::size_t b = 0; b < 3; ++b)
    for (std::size_t t = 1; t < 6; ++t) {
      expected += m[b * 6 + t] * d[b * 6 + t - 1] / lengths[b];
      all += m[b * 6 + t] * d[b * 6 + t - 1];
    }
  CHECK(mean.first == doctest::Approx(expected));
  CHECK(token.first == doctest::Approx(all));
  const auto whole = all;
  // The last position and those before a prompt's last token are read by nobody.
  const auto term = term_of("{student: student, target: teacher, divergence: kl(forward), reduce: sum/token}");
  const Tensor g = run(*term, batch, {student}, {{teacher}}).gradients[0];
  const auto rows = sum(abs(g), {2}).values();
  for (std::size_t b = 0; b < 3; ++b)
    for (std::size_t t = 0; t < 6; ++t) CHECK((rows[b * 6 + t] > 0) == (t < 5 && m[b * 6 + t + 1] > 0));
  CHECK(whole > 0);
}

TEST_CASE("token: tails of a support: the bucket is a lower bound, renormalising leaves the mass outside free") {
  Batch batch = small_batch(7);
  const Tensor student = randn({3, 6, 7}, 8), teacher = randn({3, 6, 7}, 9);
  const auto value = [&](const Tensor& s, const std::string& support) {
    const auto term = term_of(
        "{student: student, target: teacher, divergence: kl(forward), reduce: sum/token, support: " + support + "}");
    return run(*term, batch, {s}, {{teacher}}).value;
  };
  const double whole = value(student, "full");
  for (const int k : {1, 3, 6}) {
    CAPTURE(k);
    CHECK(value(student, fmt::format("top({} tail=bucket)", k)) <= whole + 1e-12);
    CHECK(value(student, fmt::format("top({} tail=uniform)", k)) >= 0);
  }
  CHECK(value(student, "top(6 tail=bucket)") == doctest::Approx(whole).epsilon(1e-12));
  CHECK(value(student, "top(6 tail=uniform)") == doctest::Approx(whole).epsilon(1e-12));
  // Two of the student's logits are raised far; the teacher's likeliest token is not among them at any position.
  const Tensor p = softmax(teacher);
  const Tensor outside = cast(less(p, max(p, {2}, true)), DType::f64);
  const Tensor astray = teacher + outside * 9.0;
  CHECK(value(astray, "top(1 tail=renormalise)") == doctest::Approx(0));
  CHECK(value(astray, "top(1 tail=bucket)") > 1);
  CHECK(value(astray, "top(1 tail=zero)") > 1);
  // A constant added to the logits inside the set: no change when renormalised, a change with the bucket.
  const Tensor inside = student + (1.0 - outside) * .5;
  CHECK(value(inside, "top(1 tail=renormalise)") == doctest::Approx(value(student, "top(1 tail=renormalise)")));
  CHECK(std::abs(value(inside, "top(1 tail=bucket)") - value(student, "top(1 tail=bucket)")) > .01);
}

TEST_CASE("token: clips of a vocabulary's entries and of a token's sum are different functions") {
  Batch b;
  b.x = Tensor::of<std::int64_t>(std::vector<std::int64_t>{0, 1}, {1, 2});
  b.more["mask"] = Tensor::from(std::vector<double>{0, 1}, {1, 2}, DType::f64);
  const auto logits = [](double p, double q) {
    return Tensor::from(std::vector<double>{std::log(p), std::log(q), 0, 0}, {1, 2, 2}, DType::f64);
  };
  const auto value = [&](const std::string& text) {
    const auto term = term_of("{student: student, target: teacher, reduce: sum/token, " + text + "}");
    return run(*term, b, {logits(.1, .9)}, {{logits(.9, .1)}}).value;
  };
  CHECK(value("divergence: kl(forward)") == doctest::Approx(1.7578).epsilon(1e-4));
  CHECK(value("divergence: clipped_kl(.05)") == doctest::Approx(-.1697).epsilon(1e-3));
  CHECK(value("divergence: clipped_kl(99)") == doctest::Approx(value("divergence: kl(forward)")));
  CHECK(value("divergence: kl(forward), clip: .05") == doctest::Approx(.05));
}

TEST_CASE("token: under a view the teacher answers for the same tokens, one position off for another") {
  Job job = [] {
    const OpenedJob opened = open_job("word-kd", {"job.task=tiny", "run.dtype=f64"});
    return build_job(opened.config, opened.file, kCpu);
  }();
  Pass pass;
  DrawRequest request{0, 0, 0, 8, "source/text"};
  Batch batch = job.setup.sources.at("text")->draw(request, job.setup.roles, pass);
  batch.more["reward"] = Tensor::from(std::vector<double>{1, 0, 1, 0, 1, 0, 1, 0}, {8}, DType::f64);
  const auto x = batch.x.values<std::int64_t>();
  const std::int64_t width = batch.x.size(1);
  for (const char* text : {"told(answer)", "told(demo1 at=start)", "revise", "feedback"}) {
    CAPTURE(text);
    const ViewedTexts seen = make_view(parse_call(text, "test")).texts(batch);
    const auto tokens = seen.tokens.values<std::int64_t>(), at = seen.at.values<std::int64_t>();
    const auto mask = batch.more.at("mask").values();
    for (std::int64_t i = 0; i < 8 * width; ++i) {
      if (mask[static_cast<std::size_t>(i)] == 0) continue;
      const std::int64_t place = at[static_cast<std::size_t>(i)];
      CHECK(place > i % width);
      CHECK(tokens[static_cast<std::size_t>(i / width * seen.tokens.size(1) + place)] ==
            x[static_cast<std::size_t>(i)]);
    }
  }
  // SD-Zero: the second copy of y_t stands at |x| + n + |P_r| + t.
  const ViewedTexts revised = make_view(parse_call("revise", "test")).texts(batch);
  const std::vector<Text> rows = texts_of(batch);
  for (std::int64_t b = 0; b < 8; ++b) {
    const auto& row = rows[static_cast<std::size_t>(b)];
    const auto head = static_cast<std::int64_t>(row.prompt.size()), n = static_cast<std::int64_t>(row.response.size());
    const auto at = select(revised.at, 0, b).values<std::int64_t>();
    for (std::int64_t t = 0; t < n; ++t) CHECK(at[static_cast<std::size_t>(head + t)] == head + n + 1 + t);
  }
}

TEST_CASE("table models: a cache and left padding change no answer, and states are the last tokens") {
  TableLm lm(5, 3, 1.0);
  convert(lm, DType::f64);
  initialize(lm, Rng(4));
  CHECK(lm.states() == 5 + 25 + 125);
  const std::vector<std::int64_t> history{1, 4, 2, 3};
  CHECK(lm.state_of(std::span(history).first(1)) == 1);
  CHECK(lm.state_of(std::span(history).first(2)) == 5 + 1 * 5 + 4);
  CHECK(lm.state_of(history) == 30 + 4 * 25 + 2 * 5 + 3);
  const Tensor tokens = randint({2, 6}, 5);
  Ctx ctx;
  const Tensor whole = lm.logits(tokens, ctx, {});
  KvCache cache = lm.new_cache(2, 6);
  const Tensor first = lm.logits(slice(tokens, 1, 0, 4), ctx, {.cache = &cache});
  const Tensor second = lm.logits(slice(tokens, 1, 4), ctx, {.cache = &cache});
  CHECK(relative_error(concat(Tensors{first, second}, 1), whole) < 1e-15);
  const Tensor padded = concat(Tensors{Tensor::zeros({2, 2}, DType::i64), tokens}, 1);
  const Tensor pads = Tensor::of<std::int64_t>(std::vector<std::int64_t>{2, 2}, {2});
  CHECK(relative_error(slice(lm.logits(padded, ctx, {.left_pad = pads}), 1, 2), whole) < 1e-15);
}

TEST_CASE("token: right answers pull nowhere: equal views, constant advantages, agreeing favourites") {
  const Batch batch = small_batch(7);
  const Tensor z = randn({3, 6, 7}, 11), other = randn({3, 6, 7}, 12);
  const auto pulled = [&](const std::string& text, const std::vector<Tensors>& targets) {
    const auto term = term_of("{student: student, reduce: sum/token, " + text + "}");
    const Valued v = run(*term, batch, {z}, targets);
    return std::pair{v.value, std::sqrt(sum(square(v.gradients[0])).item())};
  };
  for (const char* d : {"kl(forward)", "kl(reverse)", "gkd(.5)", "skew(.1)", "skew_reverse(.1)", "tv", "akl", "uld",
                        "alpha(.5)", "clipped_kl(.05)"}) {
    CAPTURE(d);
    const std::string text = std::string("target: teacher, divergence: ") + d;
    const auto same = pulled(text, {{z}}), apart = pulled(text, {{other}});
    CHECK(std::abs(same.first) < 1e-12);
    CHECK(same.second < 1e-7);
    CHECK(apart.second > 1e-2);
  }
  // DPKD where both have one favourite: ln 2 a token, no gradient.
  const auto agreed = pulled("target: teacher, divergence: dpkd(.1)", {{z * 2.0}});
  CHECK(agreed.first == doctest::Approx(9 * std::log(2)));
  CHECK(agreed.second < 1e-12);
  CHECK(pulled("target: teacher, divergence: dpkd(.1)", {{other}}).second > 1e-3);
  // ADPA: an advantage that is the same for every token teaches nothing.
  CHECK(pulled("target: a, divergence: advantage", {{Tensor::full({3, 6, 7}, 2, DType::f64)}}).second < 1e-12);
  CHECK(pulled("target: a, divergence: advantage", {{other}}).second > 1e-2);
  // AVSD: identical views are one view; different ones are neither their geometric nor their arithmetic mean.
  const auto three = [&](const std::string& map, const Tensor& last) {
    return pulled("target: [a, b, c], divergence: kl(reverse), map: " + map, {{other}, {other}, {last}}).first;
  };
  CHECK(three("gated", other) == doctest::Approx(pulled("target: a, divergence: kl(reverse)", {{other}}).first));
  const Tensor last = randn({3, 6, 7}, 13);
  CHECK(std::abs(three("gated", last) - three("mean_logits", last)) > 1e-3);
  CHECK(std::abs(three("gated", last) - three("mean_prob", last)) > 1e-3);
  // T^2 keeps the gradient's size: at a high temperature it is the centred gap of logits over V.
  const Tensor hot =
      run(*term_of("{student: student, target: teacher, divergence: kl(forward), T: [1000, 1000], T2: true, "
                   "reduce: sum/token}"),
          batch, {z}, {{other}})
          .gradients[0];
  const Tensor gap = z - other, expected = (gap - mean(gap, {2}, true)) / 7.0;
  const TokenPlaces places = places_of(batch);
  CHECK(relative_error(pick_places(hot, places, {}), pick_places(expected, places, {})) < 5e-3);
}

TEST_CASE("token: the rate at which drafts are accepted is 1 - TV, and what is rejected makes the target's law whole") {
  const auto s = softmax(randn({5}, 3)).values(), p = softmax(randn({5}, 4)).values();
  double accepted = 0, left = 0, tv = 0;
  for (std::size_t v = 0; v < 5; ++v) {
    accepted += std::min(p[v], s[v]);
    left += std::max(p[v] - s[v], 0.);
    tv += std::abs(p[v] - s[v]) / 2;
  }
  CHECK(accepted == doctest::Approx(1 - tv));
  for (std::size_t v = 0; v < 5; ++v) {
    const double drawn = s[v] * std::min(1., p[v] / s[v]) + (1 - accepted) * std::max(p[v] - s[v], 0.) / left;
    CHECK(drawn == doctest::Approx(p[v]));
  }
}
