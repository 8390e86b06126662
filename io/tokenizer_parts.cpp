#include "io/tokenizer_parts.h"

#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::int64_t kHighestId = (std::int64_t{1} << 31) - 1;
constexpr std::size_t kMostWords = 1 << 16, kLongestWord = 64;

}  // namespace

void Vocabulary::add(const std::string& token, std::int64_t id, const JsonNode& where) {
  if (id < 0 || id > kHighestId)
    where.fail(fmt::format("the id of \"{}\" lies outside [0, {}]; got {}", token, kHighestId, id));
  const auto [entry, fresh] = ids_.try_emplace(token, id);
  if (!fresh) where.fail(fmt::format("\"{}\" has two ids, {} and {}", token, entry->second, id));
  longest_ = std::max(longest_, token.size());
}

void Vocabulary::index(const JsonNode& where) {
  for (const auto& [token, id] : ids_) {
    // A few ids may be unused; a table of ids stays in proportion to the tokens.
    if (static_cast<std::size_t>(id) > 8 * ids_.size() + 4096)
      where.fail(fmt::format("the id of \"{}\" is far beyond the count of tokens, {}; got {}", token, ids_.size(), id));
    if (end() <= id) tokens_.resize(static_cast<std::size_t>(id) + 1);
    const std::string*& place = tokens_[static_cast<std::size_t>(id)];
    if (place != nullptr)
      where.fail(
          fmt::format("\"{}\" and \"{}\" have one id, {}", std::min(*place, token), std::max(*place, token), id));
    place = &token;
  }
}

std::optional<std::int64_t> Vocabulary::find(std::string_view token) const {
  const auto entry = ids_.find(token);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

const std::string* Vocabulary::token(std::int64_t id) const {
  return id >= 0 && id < end() ? tokens_[static_cast<std::size_t>(id)] : nullptr;
}

const TokenIdList* WordCache::find(std::string_view word) const {
  if (word.size() > kLongestWord) return nullptr;
  const auto entry = words_.find(word);
  return entry == words_.end() ? nullptr : &entry->second;
}

void WordCache::put(std::string_view word, TokenIdList tokens) {
  if (word.size() > kLongestWord) return;
  if (words_.size() >= kMostWords) words_.clear();
  words_.emplace(word, std::move(tokens));
}

void TextPieces::add(std::string_view piece, bool leading) {
  if (piece.empty()) return;
  if (ends_.empty()) leading_ = leading;
  text_.append(piece);
  ends_.push_back(text_.size());
}

void TextPieces::clear() {
  text_.clear();
  ends_.clear();
}

std::string_view TextPieces::piece(std::size_t i) const {
  const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(text_).substr(begin, ends_[i] - begin);
}

Vocabulary read_vocabulary(const JsonNode& at) {
  Vocabulary vocabulary;
  if (!at.value().is_object()) at.fail("an object of tokens and ids is wanted");
  for (const auto& [token, id] : at.value().get_ref<const nlohmann::json::object_t&>()) {
    if (!id.is_number_unsigned()) at.fail(fmt::format("the id of \"{}\" is no count; got {}", token, id.type_name()));
    const auto number = id.get<std::uint64_t>();
    vocabulary.add(token, number > std::uint64_t{INT64_MAX} ? -1 : static_cast<std::int64_t>(number), at);
  }
  vocabulary.index(at);
  return vocabulary;
}

std::int64_t wanted_token(const Vocabulary& vocabulary, const std::string& token, const JsonNode& at) {
  const auto id = vocabulary.find(token);
  if (!id) at.fail(fmt::format("\"{}\" is not in the vocabulary", token));
  return *id;
}

std::string byte_token(unsigned char byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace retort
