#include "distill/data/token_set.h"

#include <algorithm>
#include <cmath>

#include "distill/data/text_files.h"
#include "io/tokenizer.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retort {

namespace {
std::int64_t length_of(const TokenIds& ids) { return static_cast<std::int64_t>(ids.size()); }

TokenIds joined(std::initializer_list<TokenIds> parts) {
  TokenIds all;
  for (const TokenIds& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}
}  // namespace

TokenSet::TokenSet(std::int64_t vocab, std::int64_t end, std::vector<TokenRow> rows, std::int64_t group)
    : vocab_(vocab), end_(end), group_(group), rows_(std::move(rows)) {
  if (rows_.empty() || size() % group_ != 0)
    throw ValueError("texts: a set needs rows, a multiple of {}; got {}", group_, size());
  const auto check = [&](const TokenIds& ids) {
    for (const std::int64_t id : ids)
      if (id < 0 || id >= vocab_) throw ValueError("texts: tokens lie in [0, {}); got {}", vocab_, id);
  };
  for (const TokenRow& r : rows_) {
    if (r.prompt.empty()) throw ValueError("texts: a prompt needs at least one token");
    check(r.prompt);
    check(r.response);
    check(r.answer);
    prompt_width_ = std::max(prompt_width_, length_of(r.prompt));
    width_ = std::max(width_, length_of(r.prompt) + length_of(r.response));
    answer_width_ = std::max(answer_width_, length_of(r.answer));
    domains_ = std::max(domains_, r.domain + 1);
    for (const auto& [name, ids] : r.told) {
      check(ids);
      told_widths_[name] = std::max(told_widths_[name], length_of(ids));
    }
  }
}

void TokenSet::set_private(const TokenIds& tokens) {
  private_.assign(static_cast<std::size_t>(vocab_), false);
  for (const std::int64_t id : tokens) {
    if (id < 0 || id >= vocab_) throw ValueError("texts: private tokens lie in [0, {}); got {}", vocab_, id);
    private_[static_cast<std::size_t>(id)] = true;
  }
}

void TokenSet::set_tokenizer(std::shared_ptr<const Tokenizer> tokenizer) {
  tokenizer_ = std::move(tokenizer);
  token_bytes_.clear();
  if (!tokenizer_->spells_bytes()) return;
  for (std::int64_t id = 0; id < vocab_; ++id) token_bytes_.push_back(tokenizer_->bytes_of(id));
}

std::int64_t TokenSet::bytes_of(std::int64_t token) const {
  return token_bytes_.empty() ? token < bytes_ : token_bytes_.at(static_cast<std::size_t>(token));
}

namespace {
/// A chain over the words [0, vocab - 4); the rest are marks.
class Markov {
 public:
  explicit Markov(Config& c)
      : vocab_(c.get_int("vocab", 16, {.min = 6, .max = 1 << 16})),
        prompt_(c.get_int("prompt", 3, {.min = 1})),
        length_(c.get_int("length", 12, {.min = 2})),
        sharpness_(c.get_real("sharpness", 2.0, {.min = 0})),
        law_(Rng(c.get("law", std::uint64_t{1}))),
        text_(Rng(c.get("seed", std::uint64_t{1}))),
        contrast_(c.get("contrast", false)) {
    if (length_ <= prompt_) c.child("length").fail("a text is longer than its prompt");
  }

  std::vector<TokenRow> rows(std::int64_t count, std::int64_t domains) const {
    std::vector<TokenRow> all;
    for (std::int64_t i = 0; i < count; ++i) all.push_back(row(i, i % domains));
    for (std::int64_t i = 0; i < count; ++i) tell(all, static_cast<std::size_t>(i));
    return all;
  }
  std::int64_t end() const { return vocab_ - 1; }
  std::int64_t vocab() const { return vocab_; }
  std::int64_t group() const { return contrast_ ? 2 : 1; }

 private:
  std::int64_t words() const { return vocab_ - 4; }

  std::vector<double> law_of(std::int64_t domain, std::int64_t word) const {
    std::vector<double> p(static_cast<std::size_t>(words()));
    fill_normal(std::span<double>(p), law_.stream("markov", static_cast<std::uint32_t>(domain)),
                static_cast<std::uint64_t>(word));
    double total = 0;
    for (double& x : p) total += x = std::exp(sharpness_ * x);
    for (double& x : p) x /= total;
    return p;
  }

  TokenRow row(std::int64_t i, std::int64_t domain) const {
    const RngKey key = text_.stream("markov/text");
    const std::int64_t pair = contrast_ ? i / 2 : i;
    std::vector<double> u(static_cast<std::size_t>(length_ + 2));
    fill_uniform(std::span<double>(u), key, static_cast<std::uint64_t>(pair));
    TokenRow r;
    r.domain = domain;
    r.pass_rate = static_cast<double>(i % 9) / 8;
    std::int64_t word = static_cast<std::int64_t>(u[0] * static_cast<double>(words()));
    const auto next = [&](std::size_t draw) {
      const auto p = law_of(domain, word);
      double below = 0;
      for (std::int64_t k = 0; k < words(); ++k) {
        below += p[static_cast<std::size_t>(k)];
        if (u[draw] < below) return k;
      }
      return words() - 1;
    };
    for (std::int64_t t = 0; t < prompt_; ++t) {
      if (t > 0) word = next(static_cast<std::size_t>(t));
      r.prompt.push_back(word);
    }
    if (contrast_ && i % 2 == 1) word = r.prompt.back() = (word + 1) % words();
    const auto p = law_of(domain, word);
    r.answer = {std::max_element(p.begin(), p.end()) - p.begin()};
    const std::int64_t room = length_ - prompt_;
    const auto own = room <= 2 ? room : room - static_cast<std::int64_t>(u.back() * static_cast<double>(room - 1));
    for (std::int64_t t = 0; t + 1 < own && !contrast_; ++t)
      r.response.push_back(word = next(static_cast<std::size_t>(prompt_ + t)));
    if (contrast_) r.response = r.answer;
    r.response.push_back(end());
    return r;
  }

  void tell(std::vector<TokenRow>& all, std::size_t i) const {
    TokenRow& r = all[i];
    const TokenIds apart{vocab_ - 2};
    const TokenIds own(r.response.begin(), r.response.end() - 1);
    const auto half = own.begin() + static_cast<std::ptrdiff_t>((own.size() + 1) / 2);
    r.told["answer"] = joined({apart, own, apart});
    r.told["half"] = joined({apart, TokenIds(own.begin(), half), apart});
    r.told["skill"] = joined({apart, r.answer, apart});
    for (std::size_t k = 1; k <= 3; ++k) {
      const TokenRow& other = all[(i + k) % all.size()];
      r.told["demo" + std::to_string(k)] = joined({other.prompt, apart, other.response, apart});
    }
    const TokenRow& other = all[(i + 1) % all.size()];
    r.told["bad"] = joined({TokenIds(other.response.rbegin(), other.response.rend()), apart});
    r.told["right"] = r.told["label"] = {vocab_ - 4};
    r.told["wrong"] = r.told["reason"] = {vocab_ - 3};
  }

  std::int64_t vocab_, prompt_, length_;
  double sharpness_;
  Rng law_, text_;
  bool contrast_;
};

std::shared_ptr<TokenSet> make_markov(Config& c) {
  const Markov chain(c);
  const std::int64_t count = c.get_int("count", {.min = 1, .max = 1 << 24});
  auto set =
      std::make_shared<TokenSet>(chain.vocab(), chain.end(),
                                 chain.rows(count, c.get_int("domains", 1, {.min = 1, .max = 1 << 16})), chain.group());
  if (c.has("private")) set->set_private(c.get<TokenIds>("private"));
  return set;
}
}  // namespace

std::shared_ptr<const TokenSet> make_token_set(Config& config) {
  const std::string kind = config.get<std::string>("kind");
  if (kind == "markov") return make_markov(config);
  if (kind == "text") return make_text_set(config);
  return nullptr;
}

}  // namespace retort
