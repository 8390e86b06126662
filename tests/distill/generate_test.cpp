// tests/distill/generate_test.cpp -- sampling from decoders: laws, keys, caches; sources of texts; rewards.
#include "distill/text/generate.h"

#include <doctest/doctest.h>

#include <cmath>

#include "distill/text/rewards.h"
#include "distill/text/table_lm.h"
#include "distill/text/token_batch.h"
#include "distill/train/job.h"
#include "nn/models/causal_lm.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Job job_of(const std::string& slug, std::vector<std::string> overrides = {}) {
  overrides.insert(overrides.begin(), {"job.task=tiny", "run.dtype=f64"});
  const OpenedJob opened = open_job(slug, overrides);
  return build_job(opened.config, opened.file, kCpu);
}

Batch draw(Job& job, const std::string& source, std::int64_t step, std::int64_t first, std::int64_t rows) {
  Pass pass;
  pass.step = static_cast<std::uint32_t>(step);
  pass.rng = Rng(job.setup.seed);
  return job.setup.sources.at(source)->draw({step, step, first, rows, "source/" + source, {step, 8}}, job.setup.roles,
                                            pass);
}

std::vector<double> all_of(const Tensor& t) { return t.values(); }
}  // namespace

TEST_CASE("generate: laws of the next token: temperature, truncation, ties") {
  const std::vector<double> z{std::log(.5), std::log(.3), std::log(.15), std::log(.05)};
  CHECK(sampling_law(z, {})[1] == doctest::Approx(.3));
  CHECK(sampling_law(z, {.top_k = 2})[0] == doctest::Approx(.625));
  CHECK(sampling_law(z, {.top_p = .75})[1] == doctest::Approx(.375));
  CHECK(sampling_law(z, {.top_p = .75})[2] == 0);
  CHECK(sampling_law(z, {.temperature = 0})[0] == 1);
  CHECK(sampling_law(z, {.temperature = .5})[0] == doctest::Approx(.25 / (.25 + .09 + .0225 + .0025)));
  CHECK(draw_token(std::vector<double>{.5, 0, .5}, .49) == 0);
  CHECK(draw_token(std::vector<double>{.5, 0, .5}, .5) == 2);
  CHECK(draw_token(std::vector<double>{.5, 0, .4999}, .99999) == 2);
}

TEST_CASE("generate: tokens are drawn from the decoder's law, and their log-probabilities are those of one forward") {
  CausalLm lm({.vocab = 9, .context = 16, .width = 16, .depth = 2, .heads = 2});
  convert(lm, DType::f64);
  for (auto& [name, p] : parameters_of(lm))
    if (p->value.rank() == 2) p->init = Init::normal(0.5);
  initialize(lm, Rng(3));
  const std::vector<std::vector<std::int64_t>> prompts{{1, 2, 3}, {4}, {5, 6}};
  const std::vector<std::int64_t> samples{10, 11, 12};
  const auto context = [] { return Ctx(); };
  const GenerateSpec spec{.sampling = {}, .max_tokens = 8, .end = 0};
  const RngKey key = Rng(7).stream("source/own", 3);
  const Generated g = generate(lm, prompts, 3, spec, key, samples, context, DType::f64);
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<std::int64_t> row = prompts[i];
    row.insert(row.end(), g.tokens[i].begin(), g.tokens[i].end());
    Ctx ctx;
    const Tensor z = lm.logits(Tensor::of<std::int64_t>(row, {1, static_cast<std::int64_t>(row.size())}), ctx, {});
    const auto logits = z.values();
    for (std::size_t t = 0; t < g.tokens[i].size(); ++t) {
      const auto at = std::span(logits).subspan((prompts[i].size() + t - 1) * 9, 9);
      const double p = sampling_law(at, {})[static_cast<std::size_t>(g.tokens[i][t])];
      CHECK(g.log_prob[i][t] == doctest::Approx(std::log(p)).epsilon(1e-10));
      CHECK((t + 1 == g.tokens[i].size() || g.tokens[i][t] != 0));
    }
  }
  // One row alone, or with other neighbours, is the same row; another step or sample is another one.
  const Generated alone =
      generate(lm, {prompts[1]}, 3, spec, key, std::span(samples).subspan(1, 1), context, DType::f64);
  CHECK(alone.tokens[0] == g.tokens[1]);
  const Generated later = generate(lm, prompts, 3, spec, Rng(7).stream("source/own", 4), samples, context, DType::f64);
  CHECK(later.tokens != g.tokens);
}

TEST_CASE("generate: a second voice: E_mix[w f] = E_own[f] at every token, by enumeration") {
  TableLm own(4, 1, 1.0), other(4, 1, 1.0);
  for (TableLm* lm : {&own, &other}) convert(*lm, DType::f64);
  initialize(own, Rng(1));
  initialize(other, Rng(2));
  GenerateSpec spec{.sampling = {}, .max_tokens = 1, .end = -1, .second = {&other, .2}};
  const std::size_t n = 4000;
  const std::vector<std::vector<std::int64_t>> prompts(n, {2});
  std::vector<std::int64_t> samples;
  for (std::size_t i = 0; i < n; ++i) samples.push_back(static_cast<std::int64_t>(i));
  const auto context = [] { return Ctx(); };
  const Generated g = generate(own, prompts, 1, spec, Rng(5).stream("x"), samples, context, DType::f64);
  std::vector<double> weighted(4, 0), plain(4, 0);
  for (std::size_t i = 0; i < n; ++i) {
    weighted[static_cast<std::size_t>(g.tokens[i][0])] += g.weight[i][0] / static_cast<double>(n);
    plain[static_cast<std::size_t>(g.tokens[i][0])] += 1 / static_cast<double>(n);
  }
  Ctx ctx;
  const auto law = [&](const TableLm& lm) {
    return sampling_law(lm.logits(Tensor::of<std::int64_t>(std::vector<std::int64_t>{2}, {1, 1}), ctx, {}).values(),
                        {});
  };
  const auto p = law(own), q = law(other);
  double worst = 0;
  for (std::size_t v = 0; v < 4; ++v) {
    CHECK(weighted[v] == doctest::Approx(p[v]).epsilon(.1));
    CHECK(plain[v] == doctest::Approx(.8 * p[v] + .2 * q[v]).epsilon(.1));
    worst = std::max(worst, std::abs(plain[v] - p[v]));
  }
  CHECK(worst > .02);
}

TEST_CASE("text sources: rows do not depend on how a batch is cut, and groups stay whole") {
  Job job = job_of("table-r1");
  const Source& own = *job.setup.sources.at("own");
  CHECK(own.batch == 128);
  CHECK(own.group() == 16);
  const Batch whole = draw(job, "own", 3, 0, 128), second = draw(job, "own", 3, 32, 32);
  for (const char* name : {"mask", "lp_old", "reward", "group"}) {
    CAPTURE(name);
    const auto a = all_of(whole.more.at(name)), b = all_of(second.more.at(name));
    const std::size_t row = a.size() / 128;
    CHECK(std::equal(b.begin(), b.end(), a.begin() + static_cast<std::ptrdiff_t>(32 * row)));
  }
  const auto group = whole.more.at("group").values<std::int64_t>();
  for (std::size_t i = 0; i < 128; ++i) CHECK(group[i] == 3 * 8 + static_cast<std::int64_t>(i) / 16);
  CHECK_THROWS_WITH_AS(job_of("table-r1", {"run.micro_batch=8"}), doctest::Contains("belong together"), ConfigError);
}

TEST_CASE("text sources: by index a prompt has the same response at every step; filters, pairs, mixtures") {
  Job job = job_of("redi");
  std::map<std::int64_t, std::vector<std::int64_t>> said;
  std::size_t again = 0;
  for (std::int64_t step = 0; step < 12; ++step) {
    const Batch b = draw(job, "wrong", step, 0, 8);
    const auto index = b.index.values<std::int64_t>();
    const auto texts = texts_of(b);
    for (std::size_t i = 0; i < 8; ++i) {
      const auto [found, added] = said.emplace(index[i], texts[i].response);
      if (added) continue;
      ++again;
      CHECK(found->second == texts[i].response);
    }
  }
  CHECK(again > 20);
  const Batch pairs = draw(job, "pairs", 2, 4, 8);
  const auto index = pairs.index.values<std::int64_t>();
  for (std::size_t i = 0; i < 8; i += 2) CHECK(index[i] == index[i + 1]);
  const auto chosen = texts_of(pairs)[2], plain = texts_of(draw(job, "text", 2, 2, 4))[1];
  CHECK(chosen.response == plain.response);

  Job mixed = job_of("imitkd");
  const Batch half = draw(mixed, "mix", 4, 0, 8);
  std::size_t taken = 0;
  for (std::int64_t i = 0; i < 8; ++i) {
    const auto row = texts_of(half)[static_cast<std::size_t>(i)].response;
    taken += row == texts_of(draw(mixed, "own", 4, 0, 8))[static_cast<std::size_t>(i)].response;
  }
  CHECK(taken > 0);
  CHECK(taken < 8);
}

TEST_CASE("rewards: what a verifier sees, edit distances, the most diverse of a set") {
  TokenRow row;
  row.answer = {5};
  row.response = {1, 2, 5, 9};
  const auto value = [&](const char* text, const TokenIds& response) {
    return make_reward(parse_call(text, "test"))(response, row, 9);
  };
  CHECK(value("contains", {5, 1, 9}) == 1);
  CHECK(value("contains", {1, 9}) == 0);
  CHECK(value("exact", {5, 1, 9}) == 0);
  CHECK(value("exact", {1, 5, 9}) == 1);
  CHECK(value("overlap", {1, 3, 5}) == doctest::Approx(.5));
  CHECK(value("sum(closed contains)", {5, 9}) == 2);
  CHECK(edit_distance({1, 2, 3}, {1, 3}) == 1);
  CHECK(edit_distance({}, {4, 4}) == 2);
  const std::vector<double> points{0, 1, 10};
  std::vector<std::vector<double>> far(3, std::vector<double>(3));
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t k = 0; k < 3; ++k) far[i][k] = std::abs(points[i] - points[k]);
  CHECK(diverse(far, 2) == std::vector<std::size_t>{0, 2});
  CHECK(diverse(far, 3).size() == 3);
}
