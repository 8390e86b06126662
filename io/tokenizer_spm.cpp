#include "io/tokenizer_spm.h"

#include <algorithm>
#include <cmath>
#include <queue>

#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// A piece of the text on its way to a token, and its neighbours' places.
struct SpmSymbol {
  std::size_t begin, size;  ///< bytes; one that was merged away has none
  std::int64_t before, next;
  bool whole;  ///< merges with nobody
};

/// A merge that was possible when it was put into the queue.
struct SpmMerge {
  double score;
  std::int64_t left, right;
  std::size_t size;  ///< of what it makes
  /// The queue's top is the greatest: the highest score, then the leftmost.
  friend bool operator<(const SpmMerge& a, const SpmMerge& b) {
    return a.score != b.score ? a.score < b.score : a.left > b.left;
  }
};

/// Byte-pair encoding without a list of merges: neighbours whose text is a piece become it, the best piece first.
class SpmBpe : public TokenModel {
 public:
  SpmBpe(Vocabulary v, std::vector<double> scores, std::optional<std::int64_t> unknown, bool byte_fallback,
         const std::vector<std::string>& whole)
      : TokenModel("BPE", std::move(v)), scores_(std::move(scores)), unknown_(unknown), whole_(whole) {
    for (int byte = 0; byte_fallback && byte < 256; ++byte)
      bytes_.push_back(vocabulary.find(byte_token(static_cast<unsigned char>(byte))));
  }

  void encode(std::string_view word, TokenIdList& out) const override {
    if (const TokenIdList* known = cache_.find(word)) {
      out.insert(out.end(), known->begin(), known->end());
      return;
    }
    TokenIdList tokens;
    bool was_unknown = false;
    for (const SpmSymbol& s : merged(word)) {
      if (s.size == 0) continue;
      const std::string_view text = word.substr(s.begin, s.size);
      const auto id = piece(text);
      if (id) tokens.push_back(*id);
      const bool is_unknown = !id && !put_bytes(text, tokens);
      if (is_unknown && !was_unknown) tokens.push_back(wanted_unknown());
      was_unknown = is_unknown;
    }
    out.insert(out.end(), tokens.begin(), tokens.end());
    cache_.put(word, std::move(tokens));
  }

 private:
  /// The piece of that text, unless no text has it.
  std::optional<std::int64_t> piece(std::string_view text) const {
    const auto id = vocabulary.find(text);
    return id && !std::isnan(scores_[static_cast<std::size_t>(*id)]) ? id : std::nullopt;
  }

  std::vector<SpmSymbol> symbols_of(std::string_view word) const {
    std::vector<SpmSymbol> symbols;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t begin = at, whole = whole_.find(word.substr(at));
      if (whole > 0)
        at += whole;
      else
        next_character(word, at);
      const auto place = static_cast<std::int64_t>(symbols.size());
      symbols.push_back({begin, at - begin, place - 1, at < word.size() ? place + 1 : -1, whole > 0});
    }
    return symbols;
  }

  std::vector<SpmSymbol> merged(std::string_view word) const {
    std::vector<SpmSymbol> symbols = symbols_of(word);
    const auto symbol = [&](std::int64_t place) -> SpmSymbol& { return symbols[static_cast<std::size_t>(place)]; };
    std::priority_queue<SpmMerge> queue;
    const auto offer = [&](std::int64_t left) {
      if (left < 0 || symbol(left).next < 0) return;
      const std::int64_t right = symbol(left).next;
      if (symbol(left).whole || symbol(right).whole) return;
      const std::size_t size = symbol(left).size + symbol(right).size;
      if (const auto id = piece(word.substr(symbol(left).begin, size)))
        queue.push({scores_[static_cast<std::size_t>(*id)], left, right, size});
    };
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(symbols.size()); ++i) offer(i);
    while (!queue.empty()) {
      const SpmMerge best = queue.top();
      queue.pop();
      SpmSymbol &left = symbol(best.left), &right = symbol(best.right);
      if (left.size == 0 || right.size == 0 || left.size + right.size != best.size) continue;
      left.size = best.size;
      left.next = right.next;
      right.size = 0;
      if (left.next >= 0) symbol(left.next).before = best.left;
      offer(left.before);
      offer(best.left);
    }
    return symbols;
  }

  bool put_bytes(std::string_view text, TokenIdList& tokens) const {
    if (bytes_.empty()) return false;
    const auto token = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (!std::all_of(text.begin(), text.end(), [&](char c) { return token(c).has_value(); })) return false;
    for (const char c : text) tokens.push_back(*token(c));
    return true;
  }

  std::int64_t wanted_unknown() const {
    if (!unknown_) throw ValueError("tokenizer: a character has no token, and the file has no unknown piece");
    return *unknown_;
  }

  std::vector<double> scores_;
  std::optional<std::int64_t> unknown_;
  LongestPrefix whole_;
  std::vector<std::optional<std::int64_t>> bytes_;
  mutable WordCache cache_;
};

constexpr double kUserBonus = 0.1;  ///< what pieces of a user lose to as many bytes of the likeliest piece

/// By id; NaN for what no text has.
std::vector<double> scores_of(const SpmModel& model) {
  double best = -std::numeric_limits<double>::infinity();
  for (const SpmPiece& p : model.pieces)
    if (p.type == SpmType::normal) best = std::max(best, p.score);
  std::vector<double> scores;
  for (const SpmPiece& p : model.pieces) {
    const bool own = p.type == SpmType::user_defined;
    scores.push_back(p.type == SpmType::normal ? p.score : std::numeric_limits<double>::quiet_NaN());
    if (own) scores.back() = model.bpe ? p.score : static_cast<double>(p.text.size()) * best - kUserBonus;
  }
  return scores;
}

/// Pieces to text, as decoders of a tokenizer.json say it.
void put_decoders(const SpmModel& model, TokenizerParts& parts, const std::string& where) {
  nlohmann::json list = {{{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}},
                         {{"type", "ByteFallback"}},
                         {{"type", "Fuse"}}};
  // Where spaces are removed from a text's ends, none of them comes back.
  if (model.prefix || model.remove_spaces)
    list.push_back({{"type", "Strip"}, {"content", " "}, {"start", model.remove_spaces ? INT32_MAX : 1}, {"stop", 0}});
  const nlohmann::json sequence = {{"type", "Sequence"}, {"decoders", std::move(list)}};
  read_decoders(JsonNode(sequence, where), parts.decoders);
}

}  // namespace

LongestPrefix::LongestPrefix(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    texts_.emplace(text, true);
    longest_ = std::max(longest_, text.size());
  }
}

std::size_t LongestPrefix::find(std::string_view text) const {
  for (std::size_t size = std::min(longest_, text.size()); size > 0; --size)
    if (texts_.contains(text.substr(0, size))) return size;
  return 0;
}

std::unique_ptr<TokenizerParts> make_spm(SpmModel model, const std::string& where) {
  const nlohmann::json nothing;
  const JsonNode root(nothing, where);
  auto parts = std::make_unique<TokenizerParts>();
  Vocabulary vocabulary;
  std::optional<std::int64_t> unknown;
  std::vector<std::string> whole;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const SpmPiece& p = model.pieces[i];
    const auto id = static_cast<std::int64_t>(i);
    const auto refuse = [&](const char* what) { root.fail(fmt::format("piece {}: {}; got \"{}\"", i, what, p.text)); };
    if (p.text.empty()) refuse("a piece has a text");
    if (!std::isfinite(p.score)) refuse("its score is no number");
    if (utf8_error(p.text) != std::string_view::npos) root.fail(fmt::format("piece {}: its text is no UTF-8", i));
    if (p.type == SpmType::unused) refuse("unused pieces are not supported");
    if (p.type == SpmType::unknown && unknown) refuse("there is an unknown piece already");
    vocabulary.add(p.text, id, root);
    if (p.type == SpmType::unknown) unknown = id;
    if (p.type == SpmType::user_defined) whole.push_back(p.text);
    if (p.type == SpmType::control || p.type == SpmType::unknown)
      parts->added.add({.text = p.text, .id = id, .special = true});
  }
  if (model.pieces.empty()) root.fail("there is no piece");
  vocabulary.index(root);
  std::vector<double> scores = scores_of(model);
  parts->model = model.bpe ? std::make_unique<SpmBpe>(std::move(vocabulary), std::move(scores), unknown,
                                                      model.byte_fallback, whole)
                           : make_unigram(std::move(vocabulary), std::move(scores), unknown, model.byte_fallback);
  put_decoders(model, *parts, where);
  parts->normalizer =
      spm_normalizer({std::move(model.charsmap), model.prefix, model.remove_spaces, std::move(whole)}, where);
  parts->templates.push_back(std::move(model.form));
  parts->added.index([](std::string_view token) { return std::string(token); });
  return parts;
}

}  // namespace retort
