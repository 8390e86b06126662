// tests/distill/text_evaluate_test.cpp -- language models on held-out text: against tables that can be enumerated.
#include "distill/train/text_evaluate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "distill/text/table_lm.h"
#include "distill/train/run.h"
#include "io/file.h"
#include "tests/io/test_files.h"

using namespace retort;
using retort::test::TemporaryFolder;

namespace {
constexpr std::int64_t kVocab = 5;  // four bytes and a mark

Role table_role(const std::string& name, std::uint64_t seed, std::int64_t order = 2) {
  Role role;
  role.name = name;
  role.compute = DType::f64;
  role.model = std::make_unique<TableLm>(kVocab, order, 1.5);
  initialize(*role.model, Rng(seed));
  convert(*role.model, DType::f64);
  return role;
}

/// The roles of a test, where their nets can refer to them.
Roles tables() {
  Roles roles;
  roles["student"] = table_role("student", 3);
  roles["teacher"] = table_role("teacher", 4, 1);
  for (auto& [name, role] : roles) role.net = model_net(role);
  return roles;
}

std::shared_ptr<const TokenSet> held_out() {
  const std::vector<std::pair<TokenIds, TokenIds>> texts{
      {{4}, {0, 1, 1, 4}}, {{4, 2, 2}, {3, 4}}, {{1, 0}, {2, 3, 3, 0, 1, 2}}, {{4, 1}, {4}}, {{3}, {2, 2, 0}}};
  std::vector<TokenRow> rows;
  for (const auto& [prompt, response] : texts) {
    rows.emplace_back();
    rows.back().prompt = prompt;
    rows.back().response = response;
  }
  auto set = std::make_shared<TokenSet>(kVocab, 4, rows);
  set->set_bytes(4);
  return set;
}

/// log p of the next token from the table, worked out apart.
std::vector<double> law_of(const Role& role, std::span<const std::int64_t> before) {
  const auto& lm = dynamic_cast<const TableLm&>(*role.model);
  const auto table = lm.table.value.values();
  const auto column = static_cast<std::size_t>(lm.state_of(before)), states = static_cast<std::size_t>(lm.states());
  std::vector<double> z;
  double total = 0;
  for (std::size_t v = 0; v < kVocab; ++v) total += std::exp(z.emplace_back(table[v * states + column]));
  for (double& x : z) x -= std::log(total);
  return z;
}

struct Expected {
  double tokens = 0, bytes = 0, nats = 0, forward = 0, reverse = 0, right = 0;
};
/// Sums over the tokens of each text from `from` on.
Expected enumerate(const Role& student, const Role& teacher, const TokenSet& set, bool prompts_too = false) {
  Expected e;
  for (std::int64_t i = 0; i < set.size(); ++i) {
    TokenIds all = set.row(i).prompt;
    const std::size_t first = prompts_too ? 1 : all.size();
    all.insert(all.end(), set.row(i).response.begin(), set.row(i).response.end());
    for (std::size_t t = first; t < all.size(); ++t) {
      const auto s = law_of(student, std::span(all).first(t)), p = law_of(teacher, std::span(all).first(t));
      const auto token = static_cast<std::size_t>(all[t]);
      e.tokens += 1;
      e.bytes += all[t] < 4;
      e.nats -= s[token];
      e.right += std::max_element(s.begin(), s.end()) == s.begin() + all[t];
      for (std::size_t v = 0; v < kVocab; ++v) {
        e.forward += std::exp(p[v]) * (p[v] - s[v]);
        e.reverse += std::exp(s[v]) * (s[v] - p[v]);
      }
    }
  }
  return e;
}
}  // namespace

TEST_CASE("text evaluation: cross-entropy, bits per byte and KLs are those of enumeration, for any batch") {
  const Roles roles = tables();
  const auto set = held_out();
  const Expected e = enumerate(roles.at("student"), roles.at("teacher"), *set);
  for (const std::int64_t batch : {1, 2, 64}) {
    TextEvalSpec spec{set, batch, "teacher", {}};
    const Evaluation got = evaluate_texts(roles.at("student"), spec, roles, kCpu);
    CHECK(got.samples == 16);
    CHECK(got.cross_entropy == doctest::Approx(e.nats / e.tokens).epsilon(1e-12));
    CHECK(got.top1 == doctest::Approx(e.right / e.tokens).epsilon(1e-12));
    CHECK(got.text->bits_per_byte == doctest::Approx(e.nats / std::log(2.0) / e.bytes).epsilon(1e-12));
    CHECK(*got.text->kl_forward == doctest::Approx(e.forward / e.tokens).epsilon(1e-12));
    CHECK(*got.text->kl_reverse == doctest::Approx(e.reverse / e.tokens).epsilon(1e-12));
    CHECK(!got.text->own_log_prob);
  }
  // What a mistake would give is far off: prompts counted, the KLs swapped, marks taken for bytes.
  const Expected all = enumerate(roles.at("student"), roles.at("teacher"), *set, true);
  CHECK(std::abs(all.nats / all.tokens - e.nats / e.tokens) > .01);
  CHECK(std::abs(e.forward - e.reverse) / e.tokens > .01);
  CHECK(e.bytes < e.tokens);
}

TEST_CASE("text evaluation: a teacher beside itself, and tokens that are no bytes") {
  const Roles roles = tables();
  const std::vector<TokenRow> rows{held_out()->row(0), held_out()->row(2)};
  const auto plain = std::make_shared<TokenSet>(kVocab, 4, rows);
  TextEvalSpec spec{plain, 2, "teacher",
                    TextEvalSpec::Own{plain, 2, 1, {.sampling = {}, .max_tokens = 6, .end = 4}, 1}};
  const Evaluation e = evaluate_texts(roles.at("teacher"), spec, roles, kCpu);
  CHECK(std::isnan(e.text->bits_per_byte));
  CHECK(*e.text->kl_forward == doctest::Approx(0));
  CHECK(*e.text->own_log_prob == doctest::Approx(*e.text->teacher_log_prob).epsilon(1e-12));
  REQUIRE(e.text->shown.size() == 1);
  CHECK(e.text->shown[0].prompt == "4");
}

TEST_CASE("text evaluation: own samples are the role's, keyed, and the teacher judges those") {
  const Roles roles = tables();
  const Role& student = roles.at("student");
  const Role& teacher = roles.at("teacher");
  const auto set = held_out();
  const auto own_of = [&](double temperature, std::int64_t batch) {
    const GenerateSpec how{.sampling = {.temperature = temperature}, .max_tokens = 5, .end = 4};
    return evaluate_texts(student, {set, batch, "teacher", TextEvalSpec::Own{set, 5, 5, how, 9}}, roles, kCpu).text;
  };
  const auto greedy = own_of(0, 3);
  double tokens = 0, its = 0, teachers = 0;
  for (std::int64_t i = 0; i < set->size(); ++i) {
    TokenIds all = set->row(i).prompt, said;
    while (said.size() < 5 && (said.empty() || said.back() != 4)) {
      const auto s = law_of(student, all), p = law_of(teacher, all);
      const auto best = std::max_element(s.begin(), s.end()) - s.begin();
      tokens += 1;
      its += s[static_cast<std::size_t>(best)];
      teachers += p[static_cast<std::size_t>(best)];
      all.push_back(best);
      said.push_back(best);
    }
    CHECK(greedy->shown.at(static_cast<std::size_t>(i)).text == spell(*set, said));
  }
  CHECK(*greedy->own_log_prob == doctest::Approx(its / tokens).epsilon(1e-12));
  CHECK(*greedy->teacher_log_prob == doctest::Approx(teachers / tokens).epsilon(1e-12));
  const auto drawn = own_of(1, 64), again = own_of(1, 2);
  CHECK(*drawn->teacher_log_prob == doctest::Approx(*again->teacher_log_prob).epsilon(1e-12));
  CHECK(drawn->shown[2].text == again->shown[2].text);
  CHECK(drawn->own_log_prob != greedy->own_log_prob);
}

TEST_CASE("text evaluation: samples at temperature 1 have the log-probabilities of their law, in the mean") {
  const Roles roles = tables();
  const Role& student = roles.at("student");
  const Role& teacher = roles.at("teacher");
  const std::int64_t count = 4000;
  const auto set = std::make_shared<TokenSet>(kVocab, -1, std::vector<TokenRow>(count, held_out()->row(1)));
  const GenerateSpec how{.sampling = {}, .max_tokens = 2, .end = -1};
  const auto first = std::make_shared<TokenSet>(kVocab, -1, std::vector<TokenRow>(1, held_out()->row(1)));
  const auto got =
      evaluate_texts(student, {first, 500, "teacher", TextEvalSpec::Own{set, count, 0, how, 2}}, roles, kCpu).text;
  double its = 0, teachers = 0, squares = 0;
  const TokenIds prompt = set->row(0).prompt;
  for (std::int64_t a = 0; a < kVocab; ++a)
    for (std::int64_t b = 0; b < kVocab; ++b) {
      TokenIds longer = prompt;
      longer.push_back(a);
      const auto ia = static_cast<std::size_t>(a), ib = static_cast<std::size_t>(b);
      const double s = law_of(student, prompt)[ia] + law_of(student, longer)[ib];
      const double p = law_of(teacher, prompt)[ia] + law_of(teacher, longer)[ib];
      its += std::exp(s) * s / 2;
      teachers += std::exp(s) * p / 2;
      squares += std::exp(s) * p * p / 4;
    }
  const double error = std::sqrt((squares - teachers * teachers) / static_cast<double>(count));
  CHECK(error < .03);
  CHECK(std::abs(*got->teacher_log_prob - teachers) < 4 * error);
  CHECK(std::abs(*got->own_log_prob - its) < 4 * error);
}

TEST_CASE("text evaluation: bytes as a person reads them") {
  CHECK(spell(*held_out(), {}).empty());
  TokenSet bytes(257, 256, {held_out()->row(0)});
  CHECK(spell(bytes, {'a', 7}) == "97 7");
  bytes.set_bytes(256);
  CHECK(spell(bytes, {256, 'O', 'k', '\n', 7, 0xc3, 256}) == "<>Ok\n\\x07\\xc3<>");
}
