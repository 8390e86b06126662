// io/tokenizer_charsmap.cpp -- SentencePiece's compiled replacements: a double array of prefixes, and what they become.
#include <cstring>

#include "io/byte_cursor.h"
#include "io/tokenizer_spm.h"
#include "io/unicode.h"

namespace retort {
namespace {

std::string from_base64(std::string_view text, const JsonNode& at) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  while (text.ends_with('=')) text.remove_suffix(1);
  for (const char c : text) {
    const std::size_t digit = digits.find(c);
    if (digit == std::string_view::npos) at.fail("bad base64");
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return bytes;
}

/// A double array as darts-clone lays it out (github.com/s-yata/darts-clone): a unit holds the byte that leads to it,
/// the offset of its children, and whether one of them is a value.
class DoubleArray {
 public:
  DoubleArray() = default;
  explicit DoubleArray(std::vector<std::uint32_t> units) : units_(std::move(units)) {}

  /// The value of the shortest key that `text` begins with.
  std::optional<std::uint32_t> shortest(std::string_view text) const {
    if (units_.empty()) return std::nullopt;
    std::size_t node = offset(units_[0]);
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size() || (units_[node] & 0x800000ffu) != byte) return std::nullopt;
      const bool has_value = (units_[node] >> 8 & 1) != 0;
      node ^= offset(units_[node]);
      if (!has_value) continue;
      if (node >= units_.size()) return std::nullopt;
      return units_[node] & 0x7fffffffu;
    }
    return std::nullopt;
  }

  /// The longest such key: its length and value.
  std::optional<std::pair<std::size_t, std::uint32_t>> longest(std::string_view text) const {
    std::optional<std::pair<std::size_t, std::uint32_t>> found;
    std::size_t node = units_.empty() ? 0 : offset(units_[0]);
    for (std::size_t i = 0; i < text.size() && !units_.empty(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (byte == 0 || node >= units_.size() || (units_[node] & 0x800000ffu) != byte) break;
      const bool has_value = (units_[node] >> 8 & 1) != 0;
      node ^= offset(units_[node]);
      if (!has_value) continue;
      if (node >= units_.size()) break;
      found = {i + 1, units_[node] & 0x7fffffffu};
    }
    return found;
  }

 private:
  static std::size_t offset(std::uint32_t unit) { return std::size_t{unit >> 10} << ((unit >> 9 & 1) * 8); }
  std::vector<std::uint32_t> units_;
};

class CharsMap : public TextNormalizer {
 public:
  CharsMap(DoubleArray keys, std::string values) : keys_(std::move(keys)), values_(std::move(values)) {}

  /// A short cluster that begins with a key becomes that key's text as a whole; else its characters are looked at one
  /// by one.
  std::string apply(std::string_view text) const override {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = grapheme_end(text, at);
      const std::string_view cluster = text.substr(at, end - at);
      at = end;
      if (cluster.size() < kShortCluster)
        if (const auto whole = replacement(cluster)) {
          out.append(*whole);
          continue;
        }
      for (std::size_t i = 0; i < cluster.size();) {
        const std::size_t begin = i;
        next_character(cluster, i);
        const std::string_view character = cluster.substr(begin, i - begin);
        out.append(replacement(character).value_or(character));
      }
    }
    return out;
  }

 private:
  static constexpr std::size_t kShortCluster = 6;  ///< bytes

  std::optional<std::string_view> replacement(std::string_view text) const {
    const auto value = keys_.shortest(text);
    if (!value || *value >= values_.size()) return std::nullopt;
    return std::string_view(values_.c_str() + *value);
  }

  DoubleArray keys_;
  std::string values_;  ///< texts, each closed by a zero byte
};

struct CharsTable {
  DoubleArray keys;
  std::string values;  ///< texts, each closed by a zero byte
};

CharsTable parse_charsmap(std::string_view bytes, const std::string& where) {
  ByteCursor cursor(std::as_bytes(std::span(bytes)), where);
  const auto size = cursor.number<std::uint32_t>("the size of the keys");
  if (size % sizeof(std::uint32_t) != 0) cursor.refuse(fmt::format("keys take whole words; got {} bytes", size));
  const auto keys = cursor.take(size, "the keys");
  std::vector<std::uint32_t> units(size / sizeof(std::uint32_t));
  if (size > 0) std::memcpy(units.data(), keys.data(), size);
  const std::string_view values = cursor.text(cursor.remaining(), "the replacements");
  if (utf8_error(values) != std::string_view::npos) cursor.refuse("a replacement is no UTF-8");
  return {DoubleArray(std::move(units)), std::string(values)};
}

/// SentencePiece's way: the longest key at each place, spaces as a character of their own.
class SpmNormalizer : public TextNormalizer {
 public:
  SpmNormalizer(SpmNormalization how, CharsTable table)
      : how_(std::move(how)), table_(std::move(table)), kept_(how_.kept) {}

  std::string apply(std::string_view text) const override {
    constexpr std::string_view kSpace = "\u2581";
    while (how_.remove_spaces && !text.empty() && read(text).first == " ") text.remove_prefix(read(text).second);
    if (text.empty()) return "";
    std::string out(how_.prefix ? kSpace : "");
    bool after_space = how_.remove_spaces;
    while (!text.empty()) {
      auto [piece, length] = read(text);
      text.remove_prefix(length);
      while (after_space && piece.starts_with(' ')) piece.remove_prefix(1);
      for (const char c : piece)
        if (c == ' ')
          out += kSpace;
        else
          out += c;
      if (!piece.empty()) after_space = how_.remove_spaces && piece.ends_with(' ');
    }
    while (how_.remove_spaces && out.ends_with(kSpace)) out.resize(out.size() - kSpace.size());
    return out;
  }

 private:
  /// What the beginning of the text becomes, and how many bytes of it.
  std::pair<std::string_view, std::size_t> read(std::string_view text) const {
    if (const std::size_t kept = kept_.find(text); kept > 0) return {text.substr(0, kept), kept};
    if (const auto key = table_.keys.longest(text); key && key->second < table_.values.size())
      return {table_.values.c_str() + key->second, key->first};
    std::size_t end = 0;
    next_character(text, end);
    return {text.substr(0, end), end};
  }

  SpmNormalization how_;
  CharsTable table_;
  LongestPrefix kept_;
};

}  // namespace

std::unique_ptr<TextNormalizer> read_charsmap(const JsonNode& at) {
  at.only({"type", "precompiled_charsmap"});
  const JsonNode map = at.at("precompiled_charsmap");
  CharsTable table = parse_charsmap(from_base64(map.text(), map), map.where());
  return std::make_unique<CharsMap>(std::move(table.keys), std::move(table.values));
}

std::unique_ptr<TextNormalizer> spm_normalizer(SpmNormalization how, const std::string& where) {
  CharsTable table;
  if (!how.charsmap.empty()) table = parse_charsmap(how.charsmap, where + ": precompiled_charsmap");
  return std::make_unique<SpmNormalizer>(std::move(how), std::move(table));
}

}  // namespace retort
