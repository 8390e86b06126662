// io/tokenizer_bpe.cpp -- byte-pair encoding: a queue of merges over a linked list of symbols.
#include <queue>

#include "io/tokenizer_parts.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

struct BpeMerge {
  std::uint32_t rank;
  std::int64_t made;
};

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

/// A symbol of a word: a token, and its neighbours' places. One that was merged away has the id -1.
struct BpeSymbol {
  std::int64_t id, before, next;
};

/// A merge that was possible when it was put into the queue.
struct BpeCandidate {
  std::uint32_t rank;
  std::int64_t place, made;
  /// The queue's top is the greatest: the lowest rank, then the leftmost.
  friend bool operator<(const BpeCandidate& a, const BpeCandidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
  }
};

class BpeModel : public TokenModel {
 public:
  BpeModel(Vocabulary v, BpeOptions options, const JsonNode& at)
      : TokenModel("BPE", std::move(v)), options_(std::move(options)) {
    if (!options_.unknown.empty()) unknown_ = wanted_token(vocabulary, options_.unknown, at);
    std::uint32_t rank = 0;
    for (const auto& [left, right] : options_.merges) {
      const auto named = [&](std::string_view token) {
        const auto id = vocabulary.find(token);
        if (!id) at.fail(fmt::format("merges[{}]: \"{}\" is not in the vocabulary", rank, token));
        return *id;
      };
      if (!right.starts_with(options_.prefix))
        at.fail(fmt::format("merges[{}]: \"{}\" does not continue a word", rank, right));
      const std::int64_t made = named(left + right.substr(options_.prefix.size()));
      merges_[pair_key(named(left), named(right))] = {rank, made};
      ++rank;
    }
    options_.merges = {};
    if (options_.byte_fallback)
      for (int byte = 0; byte < 256; ++byte)
        bytes_.push_back(vocabulary.find(byte_token(static_cast<unsigned char>(byte))));
  }

  void encode(std::string_view word, TokenIdList& out) const override {
    if (options_.ignore_merges)
      if (const auto whole = vocabulary.find(word)) return out.push_back(*whole);
    if (const TokenIdList* known = cache_.find(word)) {
      out.insert(out.end(), known->begin(), known->end());
      return;
    }
    TokenIdList tokens = symbols_of(word);
    merge(tokens);
    out.insert(out.end(), tokens.begin(), tokens.end());
    cache_.put(word, std::move(tokens));
  }

 private:
  /// The characters' tokens.
  TokenIdList symbols_of(std::string_view word) const {
    TokenIdList symbols;
    bool unknown_waits = false;  // an unknown token is written when the run of unknown characters has ended
    const auto write_unknown = [&] {
      if (unknown_waits) symbols.push_back(*unknown_);
      unknown_waits = false;
    };
    std::string decorated;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t begin = at;
      next_character(word, at);
      std::string_view text = word.substr(begin, at - begin);
      const bool continues = begin > 0 && !options_.prefix.empty(),
                 ends = at == word.size() && !options_.suffix.empty();
      if (continues || ends) {
        decorated.assign(continues ? options_.prefix : "").append(text).append(ends ? options_.suffix : "");
        text = decorated;
      }
      if (const auto id = vocabulary.find(text)) {
        write_unknown();
        symbols.push_back(*id);
        continue;
      }
      if (put_bytes(text, symbols)) continue;
      if (!unknown_) continue;
      if (!options_.fuse_unknown) write_unknown();
      unknown_waits = true;
    }
    write_unknown();
    return symbols;
  }

  bool put_bytes(std::string_view text, TokenIdList& symbols) const {
    if (!options_.byte_fallback) return false;
    for (const char c : text)
      if (!bytes_[static_cast<unsigned char>(c)]) return false;
    for (const char c : text) symbols.push_back(*bytes_[static_cast<unsigned char>(c)]);
    return true;
  }

  void merge(TokenIdList& tokens) const {
    const auto count = static_cast<std::int64_t>(tokens.size());
    std::vector<BpeSymbol> symbols;
    for (std::int64_t i = 0; i < count; ++i)
      symbols.push_back({tokens[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
    const auto symbol = [&](std::int64_t place) -> BpeSymbol& { return symbols[static_cast<std::size_t>(place)]; };
    std::priority_queue<BpeCandidate> queue;
    const auto offer = [&](std::int64_t place) {
      if (place < 0 || symbol(place).next < 0) return;
      const auto merge = merges_.find(pair_key(symbol(place).id, symbol(symbol(place).next).id));
      if (merge != merges_.end()) queue.push({merge->second.rank, place, merge->second.made});
    };
    for (std::int64_t i = 0; i + 1 < count; ++i) offer(i);
    while (!queue.empty()) {
      const BpeCandidate best = queue.top();
      queue.pop();
      BpeSymbol& left = symbol(best.place);
      if (left.id < 0 || left.next < 0) continue;
      BpeSymbol& right = symbol(left.next);
      const auto still = merges_.find(pair_key(left.id, right.id));
      if (still == merges_.end() || still->second.made != best.made) continue;
      left.id = best.made;
      left.next = right.next;
      right.id = -1;
      if (left.next >= 0) symbol(left.next).before = best.place;
      offer(left.before);
      offer(best.place);
    }
    tokens.clear();
    for (const BpeSymbol& s : symbols)
      if (s.id >= 0) tokens.push_back(s.id);
  }

  BpeOptions options_;
  std::optional<std::int64_t> unknown_;
  std::unordered_map<std::uint64_t, BpeMerge> merges_;
  std::vector<std::optional<std::int64_t>> bytes_;
  mutable WordCache cache_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> read_merges(const JsonNode& at) {
  std::vector<std::pair<std::string, std::string>> merges;
  if (!at.value().is_array()) at.fail("an array of merges is wanted");
  for (std::size_t i = 0; i < at.value().size(); ++i) {
    const nlohmann::json& merge = at.value()[i];
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      const std::size_t space = text.find(' ');
      if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
        at.item(i).fail(fmt::format("two tokens with a space between them are wanted; got \"{}\"", text));
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      at.item(i).fail("a merge is a text or two of them");
    }
  }
  return merges;
}

std::unique_ptr<TokenModel> make_bpe(Vocabulary vocabulary, BpeOptions options, const JsonNode& at) {
  return std::make_unique<BpeModel>(std::move(vocabulary), std::move(options), at);
}

std::unique_ptr<TokenModel> read_bpe(const JsonNode& at) {
  at.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
           "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (const auto dropout = at.find("dropout"); dropout && dropout->real() != 0)
    dropout->fail("merges left out at random are not supported");
  BpeOptions options;
  options.merges = read_merges(at.at("merges"));
  options.unknown = at.text_or("unk_token", "");
  options.prefix = at.text_or("continuing_subword_prefix", "");
  options.suffix = at.text_or("end_of_word_suffix", "");
  options.fuse_unknown = at.flag_or("fuse_unk", false);
  options.byte_fallback = at.flag_or("byte_fallback", false);
  options.ignore_merges = at.flag_or("ignore_merges", false);
  return make_bpe(read_vocabulary(at.at("vocab")), std::move(options), at);
}

}  // namespace retort
