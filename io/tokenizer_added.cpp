#include "io/tokenizer_added.h"

#include <utility>

#include "io/unicode.h"

namespace retort {
namespace {

/// The character that ends at byte `end`.
char32_t character_before(std::string_view text, std::size_t end) {
  std::size_t at = end - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return next_character(text, at);
}

bool word_ends_at(std::string_view text, std::size_t at) { return at > 0 && is_word(character_before(text, at)); }

bool word_begins_at(std::string_view text, std::size_t at) {
  return at < text.size() && is_word(next_character(text, at));
}

/// Where the white space begins that ends at `end`; not before `least`.
std::size_t space_before(std::string_view text, std::size_t end, std::size_t least) {
  while (end > least && is_space(character_before(text, end))) {
    --end;
    while ((static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  }
  return end;
}

std::size_t space_behind(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t behind = at;
    if (!is_space(next_character(text, behind))) break;
    at = behind;
  }
  return at;
}

}  // namespace

void AddedTokens::Tree::add(std::string_view text, const AddedToken* token) {
  std::uint32_t node = 0;
  begins_[static_cast<unsigned char>(text.front())] = true;
  for (const char c : text) {
    const auto [edge, fresh] = edges_.try_emplace(std::uint64_t{node} << 8 | static_cast<unsigned char>(c), nodes_);
    nodes_ += fresh;
    node = edge->second;
  }
  ends_.try_emplace(node, token);
}

std::pair<const AddedToken*, std::size_t> AddedTokens::Tree::longest(std::string_view text, std::size_t at) const {
  std::pair<const AddedToken*, std::size_t> best{nullptr, 0};
  if (!begins_[static_cast<unsigned char>(text[at])]) return best;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const auto edge = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto end = ends_.find(node); end != ends_.end()) best = {end->second, i + 1 - at};
  }
  return best;
}

void AddedTokens::add(AddedToken token) {
  ids_.emplace(token.text, token.id);
  tokens_.emplace(token.id, std::move(token));
}

void AddedTokens::index(const std::function<std::string(std::string_view)>& normalize) {
  for (const auto& [id, token] : tokens_) {
    if (!token.normalized)
      raw_.add(token.text, &token);
    else if (const std::string text = normalize(token.text); !text.empty())
      normalized_.add(text, &token);
  }
}

std::vector<AddedSpan> AddedTokens::find(std::string_view text, bool normalized) const {
  const Tree& tree = normalized ? normalized_ : raw_;
  std::vector<AddedSpan> spans;
  std::size_t done = 0;
  for (std::size_t at = 0; !tree.empty() && at < text.size();) {
    const auto [token, length] = tree.longest(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = at + length;
    at = end;
    if (token->single_word && (word_ends_at(text, begin) || word_begins_at(text, end))) continue;
    if (token->lstrip) begin = space_before(text, begin, done);
    if (token->rstrip) end = space_behind(text, end);
    if (done < begin) spans.push_back({text.substr(done, begin - done), std::nullopt});
    spans.push_back({text.substr(begin, end - begin), token->id});
    done = end;  // of the white space taken along, the next token may begin in it all the same
  }
  if (done < text.size()) spans.push_back({text.substr(done), std::nullopt});
  return spans;
}

const AddedToken* AddedTokens::by_id(std::int64_t id) const {
  const auto token = tokens_.find(id);
  return token == tokens_.end() ? nullptr : &token->second;
}

std::optional<std::int64_t> AddedTokens::id_of(std::string_view text) const {
  const auto entry = ids_.find(text);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

}  // namespace retort
