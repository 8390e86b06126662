// io/tokenizer_unigram.cpp -- Unigram (Kudo 2018): the cut of a word whose tokens' log-probabilities sum highest.
#include <cmath>
#include <limits>

#include "io/tokenizer_parts.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// How much less likely than the least likely token an unknown character is.
constexpr double kUnknownPenalty = 10;

class UnigramModel : public TokenModel {
 public:
  UnigramModel(Vocabulary v, std::vector<double> scores, std::optional<std::int64_t> unknown, bool byte_fallback)
      : TokenModel("Unigram", std::move(v)),
        scores_(std::move(scores)),
        unknown_(unknown),
        byte_fallback_(byte_fallback) {
    double least = std::numeric_limits<double>::infinity();
    for (const double score : scores_)
      if (!std::isnan(score)) least = std::min(least, score);
    unknown_score_ = least - kUnknownPenalty;
    for (std::int64_t id = 0; id < vocabulary.end(); ++id)
      if (const std::string* token = vocabulary.token(id);
          token != nullptr && !std::isnan(scores_[static_cast<std::size_t>(id)]))
        grow(*token, id);
  }

  void encode(std::string_view word, TokenIdList& out) const override {
    if (const TokenIdList* known = cache_.find(word)) {
      out.insert(out.end(), known->begin(), known->end());
      return;
    }
    TokenIdList tokens;
    for (const std::string_view piece : best_cut(word)) put(piece, tokens);
    out.insert(out.end(), tokens.begin(), tokens.end());
    cache_.put(word, std::move(tokens));
  }

 private:
  struct Best {
    double score = 0;
    std::size_t begin = std::string_view::npos;  ///< of the last token; npos: no cut ends here
    std::int64_t id = 0;
  };

  void grow(std::string_view token, std::int64_t id) {
    std::uint32_t node = 0;
    for (const char c : token) {
      const auto next = static_cast<std::uint32_t>(edges_.size() + 1);
      node = edges_.try_emplace(std::uint64_t{node} << 8 | static_cast<unsigned char>(c), next).first->second;
    }
    if (!token.empty()) ends_.try_emplace(node, id);
  }

  /// Texts of the tokens; neighbours that are unknown are one.
  std::vector<std::string_view> best_cut(std::string_view word) const {
    std::vector<Best> best(word.size() + 1);
    const auto offer = [&](std::size_t begin, std::size_t end, double score, std::int64_t id) {
      Best& there = best[end];
      score += best[begin].score;
      if (there.begin == std::string_view::npos || score > there.score) there = {score, begin, id};
    };
    for (std::size_t at = 0; at < word.size();) {
      std::size_t behind = at;
      next_character(word, behind);
      bool alone = false;  // the character is a token
      std::uint32_t node = 0;
      for (std::size_t i = at; i < word.size(); ++i) {
        const auto edge = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(word[i]));
        if (edge == edges_.end()) break;
        node = edge->second;
        const auto end = ends_.find(node);
        if (end == ends_.end()) continue;
        offer(at, i + 1, scores_[static_cast<std::size_t>(end->second)], end->second);
        alone = alone || i + 1 == behind;
      }
      if (!alone) offer(at, behind, unknown_score_, wanted_unknown());
      at = behind;
    }
    std::vector<std::string_view> pieces;
    bool was_unknown = false;
    for (std::size_t end = word.size(); end > 0;) {
      const Best& last = best[end];
      const bool is_unknown = unknown_ && last.id == *unknown_;
      const std::size_t length = end - last.begin;
      if (is_unknown && was_unknown)
        pieces.back() = word.substr(last.begin, length + pieces.back().size());
      else
        pieces.push_back(word.substr(last.begin, length));
      was_unknown = is_unknown;
      end = last.begin;
    }
    return {pieces.rbegin(), pieces.rend()};
  }

  std::int64_t wanted_unknown() const {
    if (!unknown_)
      throw ValueError("tokenizer: a character has no token, and the file names no unknown token (unk_id)");
    return *unknown_;
  }

  void put(std::string_view piece, TokenIdList& tokens) const {
    if (const auto id = vocabulary.find(piece)) return tokens.push_back(*id);
    TokenIdList bytes;
    for (const char c : piece)
      if (const auto id = byte_fallback_ ? vocabulary.find(byte_token(static_cast<unsigned char>(c))) : std::nullopt)
        bytes.push_back(*id);
    if (bytes.size() == piece.size())
      tokens.insert(tokens.end(), bytes.begin(), bytes.end());
    else
      tokens.push_back(wanted_unknown());
  }

  std::vector<double> scores_;
  std::optional<std::int64_t> unknown_;
  bool byte_fallback_;
  double unknown_score_ = 0;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;  ///< a tree over bytes: node and byte to node
  std::unordered_map<std::uint32_t, std::int64_t> ends_;
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(Vocabulary vocabulary, std::vector<double> scores,
                                         std::optional<std::int64_t> unknown, bool byte_fallback) {
  return std::make_unique<UnigramModel>(std::move(vocabulary), std::move(scores), unknown, byte_fallback);
}

std::unique_ptr<TokenModel> read_unigram(const JsonNode& at) {
  at.only({"type", "unk_id", "vocab", "byte_fallback"});
  const JsonNode tokens = at.at("vocab");
  Vocabulary vocabulary;
  std::vector<double> scores;
  if (!tokens.value().is_array() || tokens.value().empty()) tokens.fail("an array of tokens and scores is wanted");
  for (std::size_t i = 0; i < tokens.value().size(); ++i) {
    const nlohmann::json& entry = tokens.value()[i];
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      tokens.item(i).fail("[token, score] is wanted");
    vocabulary.add(entry[0].get_ref<const std::string&>(), static_cast<std::int64_t>(i), tokens);
    scores.push_back(entry[1].get<double>());
  }
  vocabulary.index(tokens);
  std::optional<std::int64_t> unknown;
  if (const auto id = at.find("unk_id")) unknown = id->integer(0, vocabulary.end() - 1);
  return make_unigram(std::move(vocabulary), std::move(scores), unknown, at.flag_or("byte_fallback", false));
}

}  // namespace retort
