// io/tokenizer_decoders.cpp -- from the texts of tokens to the text they spell.
#include <algorithm>
#include <array>

#include "io/tokenizer_parts.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// The character of each byte: printable bytes of Latin-1 are themselves, the others follow from U+0100 on.
const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> alphabet = [] {
    std::array<std::string, 256> all;
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      append_character(all[byte], printable ? byte : next++);
    }
    return all;
  }();
  return alphabet;
}

/// A decoder that changes tokens one by one.
class EachToken : public TokenDecoder {
 public:
  using Change = std::function<std::string(const std::string& token, std::size_t index, std::size_t count)>;
  explicit EachToken(Change change) : change_(std::move(change)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = change_(tokens[i], i, tokens.size());
  }

 private:
  Change change_;
};

std::unique_ptr<TokenDecoder> each_token(EachToken::Change change) {
  return std::make_unique<EachToken>(std::move(change));
}

class ByteJoiner : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += from_byte_alphabet(token).value_or(token);
    tokens = {replace_malformed_utf8(bytes)};
  }
};

class TokenJoiner : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens = {all};
  }
};

std::optional<char> byte_of(const std::string& token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  int value = 0;
  for (const char c : token.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = 16 * value + digit;
  }
  return static_cast<char>(value);
}

/// Runs of byte tokens are UTF-8, or as many U+FFFD.
class ByteFallbackDecoder : public TokenDecoder {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto close = [&] {
      if (!bytes.empty() && utf8_error(bytes) == std::string::npos)
        out.push_back(bytes);
      else
        out.insert(out.end(), bytes.size(), "\ufffd");
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = byte_of(token)) {
        bytes.push_back(*byte);
        continue;
      }
      close();
      out.push_back(std::move(token));
    }
    close();
    tokens = std::move(out);
  }
};

class ReplaceDecoder : public TokenDecoder {
 public:
  ReplaceDecoder(Regex pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = replace_matches(token, pattern_, by_);
  }

 private:
  Regex pattern_;
  std::string by_;
};

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  if (from.empty()) return text;
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// Takes back what splitting English into words did to spaces.
std::string cleaned(std::string text) {
  constexpr std::pair<std::string_view, std::string_view> changes[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : changes) text = replaced(std::move(text), from, to);
  return text;
}

std::unique_ptr<TokenDecoder> read_wordpiece_decoder(const JsonNode& at) {
  at.only({"type", "prefix", "cleanup"});
  return each_token([prefix = at.at("prefix").text(), cleanup = at.at("cleanup").flag()](const std::string& token,
                                                                                         std::size_t i, std::size_t) {
    std::string text = token;
    if (i > 0) text = token.starts_with(prefix) ? token.substr(prefix.size()) : " " + token;
    return cleanup ? cleaned(std::move(text)) : text;
  });
}

std::unique_ptr<TokenDecoder> read_metaspace_decoder(const JsonNode& at) {
  at.only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  const std::string scheme = at.text_or("prepend_scheme", at.flag_or("add_prefix_space", true) ? "always" : "never");
  std::string mark;
  append_character(mark, at.at("replacement").character());
  return each_token([mark, prepended = scheme != "never"](const std::string& token, std::size_t i, std::size_t) {
    return replaced(token, mark, i == 0 && prepended ? "" : " ");
  });
}

std::unique_ptr<TokenDecoder> read_strip(const JsonNode& at) {
  at.only({"type", "content", "start", "stop"});
  std::string character;
  append_character(character, at.at("content").character());
  const std::int64_t start = at.at("start").integer(0, INT32_MAX), stop = at.at("stop").integer(0, INT32_MAX);
  return each_token([=](const std::string& token, std::size_t, std::size_t) {
    std::string_view text = token;
    for (std::int64_t i = 0; i < start && text.starts_with(character); ++i) text.remove_prefix(character.size());
    for (std::int64_t i = 0; i < stop && text.ends_with(character); ++i) text.remove_suffix(character.size());
    return std::string(text);
  });
}

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char c : bytes) text += byte_alphabet()[static_cast<unsigned char>(c)];
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  static const std::unordered_map<char32_t, char> bytes = [] {
    std::unordered_map<char32_t, char> all;
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::size_t at = 0;
      all.emplace(next_character(byte_alphabet()[byte], at), static_cast<char>(byte));
    }
    return all;
  }();
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = bytes.find(next_character(text, at));
    if (byte == bytes.end()) return std::nullopt;
    out.push_back(byte->second);
  }
  return out;
}

std::unique_ptr<TokenDecoder> join_bytes() { return std::make_unique<ByteJoiner>(); }

void read_decoders(const JsonNode& at, std::vector<std::unique_ptr<TokenDecoder>>& out) {
  const std::string type = at.at("type").text();
  if (type == "Sequence") {
    at.only({"type", "decoders"});
    for (const JsonNode& part : at.at("decoders").items()) read_decoders(part, out);
  } else if (type == "ByteLevel") {
    at.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // none of which has a part in decoding
    out.push_back(join_bytes());
  } else if (type == "WordPiece") {
    out.push_back(read_wordpiece_decoder(at));
  } else if (type == "Metaspace") {
    out.push_back(read_metaspace_decoder(at));
  } else if (type == "ByteFallback") {
    at.only({"type"});
    out.push_back(std::make_unique<ByteFallbackDecoder>());
  } else if (type == "Fuse") {
    at.only({"type"});
    out.push_back(std::make_unique<TokenJoiner>());
  } else if (type == "Strip") {
    out.push_back(read_strip(at));
  } else if (type == "Replace") {
    at.only({"type", "pattern", "content"});
    out.push_back(std::make_unique<ReplaceDecoder>(read_pattern(at.at("pattern")), at.at("content").text()));
  } else if (type == "BPEDecoder") {
    at.only({"type", "suffix"});
    out.push_back(
        each_token([suffix = at.at("suffix").text()](const std::string& token, std::size_t i, std::size_t count) {
          return replaced(token, suffix, i + 1 == count ? "" : " ");
        }));
  } else {
    at.at("type").fail(fmt::format("decoder \"{}\" is not supported", type));
  }
}

}  // namespace retort
