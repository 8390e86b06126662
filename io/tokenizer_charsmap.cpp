// io/tokenizer_charsmap.cpp -- SentencePiece's compiled replacements: a double array of prefixes, and what they become.
#include <cstring>

#include "io/byte_cursor.h"
#include "io/tokenizer_parts.h"
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

}  // namespace

std::unique_ptr<TextNormalizer> read_charsmap(const JsonNode& at) {
  at.only({"type", "precompiled_charsmap"});
  const JsonNode map = at.at("precompiled_charsmap");
  const std::string bytes = from_base64(map.text(), map), where = map.where();
  ByteCursor cursor(std::as_bytes(std::span(bytes)), where);
  const auto size = cursor.number<std::uint32_t>("the size of the keys");
  if (size % sizeof(std::uint32_t) != 0) map.fail(fmt::format("keys take whole words; got {} bytes", size));
  const auto keys = cursor.take(size, "the keys");
  std::vector<std::uint32_t> units(size / sizeof(std::uint32_t));
  if (size > 0) std::memcpy(units.data(), keys.data(), size);
  const std::string_view values = cursor.text(cursor.remaining(), "the replacements");
  if (utf8_error(values) != std::string_view::npos) map.fail("a replacement is no UTF-8");
  return std::make_unique<CharsMap>(DoubleArray(std::move(units)), std::string(values));
}

}  // namespace retort
