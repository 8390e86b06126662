// io/tokenizer_normalizers.cpp -- what is done to a text before it is cut into words.
#include <algorithm>

#include "io/tokenizer_parts.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {
namespace {

/// A normalizer that is a function.
class FunctionNormalizer : public TextNormalizer {
 public:
  explicit FunctionNormalizer(std::function<std::string(std::string_view)> function) : function_(std::move(function)) {}
  std::string apply(std::string_view text) const override { return function_(text); }

 private:
  std::function<std::string(std::string_view)> function_;
};

std::unique_ptr<TextNormalizer> normalizer_of(std::function<std::string(std::string_view)> function) {
  return std::make_unique<FunctionNormalizer>(std::move(function));
}

class SequenceNormalizer : public TextNormalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<TextNormalizer>> parts) : parts_(std::move(parts)) {}
  std::string apply(std::string_view text) const override {
    std::string out(text);
    for (const auto& part : parts_) out = part->apply(out);
    return out;
  }

 private:
  std::vector<std::unique_ptr<TextNormalizer>> parts_;
};

class ReplaceNormalizer : public TextNormalizer {
 public:
  ReplaceNormalizer(Regex pattern, std::string by) : pattern_(std::move(pattern)), by_(std::move(by)) {}
  std::string apply(std::string_view text) const override { return replace_matches(text, pattern_, by_); }

 private:
  Regex pattern_;
  std::string by_;
};

/// `change(character, out)` for each character.
template <class Change>
std::string each_character(std::string_view text, const Change& change) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) change(next_character(text, at), out);
  return out;
}

std::string without(bool (*in_class)(char32_t), std::string_view text) {
  return each_character(text, [&](char32_t c, std::string& out) {
    if (!in_class(c)) append_character(out, c);
  });
}

std::string stripped(std::string_view text, bool left, bool right) {
  std::size_t begin = 0, end = text.size();
  while (left && begin < end) {
    std::size_t behind = begin;
    if (!is_space(next_character(text, behind))) break;
    begin = behind;
  }
  while (right && end > begin) {
    std::size_t before = end - 1;
    while ((static_cast<unsigned char>(text[before]) & 0xc0) == 0x80) --before;
    std::size_t at = before;
    if (!is_space(next_character(text, at))) break;
    end = before;
  }
  return std::string(text.substr(begin, end - begin));
}

/// BERT (Devlin et al. 2019): no control characters, spaces around ideographs, no accents, lower case.
struct BertOptions {
  bool clean, ideographs, accents, lower;
};

bool is_ideograph(char32_t c) {
  constexpr std::pair<char32_t, char32_t> blocks[] = {{0x4e00, 0x9fff},   {0x3400, 0x4dbf},   {0x20000, 0x2a6df},
                                                      {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf},
                                                      {0xf900, 0xfaff},   {0x2f800, 0x2fa1f}};
  return std::any_of(std::begin(blocks), std::end(blocks), [c](auto b) { return c >= b.first && c <= b.second; });
}

std::string bert_normal(std::string_view text, const BertOptions& options) {
  std::string out = each_character(text, [&](char32_t c, std::string& to) {
    if (options.clean) {
      const bool layout = c == '\t' || c == '\n' || c == '\r';
      if (c == 0 || c == 0xfffd || (!layout && is_other(c))) return;
      if (is_space(c)) c = ' ';
    }
    const bool apart = options.ideographs && is_ideograph(c);
    if (apart) to.push_back(' ');
    append_character(to, c);
    if (apart) to.push_back(' ');
  });
  if (!options.accents) out = without(is_nonspacing_mark, normal_form(out, NormalForm::nfd));
  return options.lower ? lower_case(out) : out;
}

/// SentencePiece's training-time cleaning: control characters vanish, odd spaces become plain ones.
std::string nmt_normal(std::string_view text) {
  return each_character(text, [](char32_t c, std::string& out) {
    const bool control =
        (c >= 0x01 && c <= 0x08) || c == 0x0b || (c >= 0x0e && c <= 0x1f) || c == 0x7f || c == 0x8f || c == 0x9f;
    if (control) return;
    const bool space = c == 0x09 || c == 0x0a || c == 0x0c || c == 0x0d || c == 0x1680 ||
                       (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xfeff ||
                       c == 0xfffd;
    append_character(out, space ? U' ' : c);
  });
}

std::unique_ptr<TextNormalizer> read_bert(const JsonNode& at) {
  at.only({"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
  const bool lower = at.at("lowercase").flag();
  const BertOptions options{at.at("clean_text").flag(), at.at("handle_chinese_chars").flag(),
                            !at.flag_or("strip_accents", lower), lower};
  return normalizer_of([options](std::string_view text) { return bert_normal(text, options); });
}

std::unique_ptr<TextNormalizer> read_sequence(const JsonNode& at) {
  at.only({"type", "normalizers"});
  std::vector<std::unique_ptr<TextNormalizer>> parts;
  for (const JsonNode& part : at.at("normalizers").items()) parts.push_back(read_normalizer(part));
  return std::make_unique<SequenceNormalizer>(std::move(parts));
}

}  // namespace

std::unique_ptr<TextNormalizer> read_normalizer(const JsonNode& at) {
  const std::string type = at.at("type").text();
  const auto plain = [&](auto function) {
    at.only({"type"});
    return normalizer_of(function);
  };
  const auto form = [&](NormalForm f) { return plain([f](std::string_view text) { return normal_form(text, f); }); };
  if (type == "Sequence") return read_sequence(at);
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Lowercase") return plain(lower_case);
  if (type == "StripAccents") return plain([](std::string_view text) { return without(is_mark, text); });
  if (type == "Nmt") return plain(nmt_normal);
  if (type == "ByteLevel") return plain(to_byte_alphabet);
  if (type == "BertNormalizer") return read_bert(at);
  if (type == "Precompiled") return read_charsmap(at);
  if (type == "Replace") {
    at.only({"type", "pattern", "content"});
    return std::make_unique<ReplaceNormalizer>(read_pattern(at.at("pattern")), at.at("content").text());
  }
  if (type == "Prepend") {
    at.only({"type", "prepend"});
    return normalizer_of([head = at.at("prepend").text()](std::string_view text) {
      return text.empty() ? std::string() : head + std::string(text);
    });
  }
  if (type == "Strip") {
    at.only({"type", "strip_left", "strip_right"});
    return normalizer_of([left = at.at("strip_left").flag(), right = at.at("strip_right").flag()](
                             std::string_view text) { return stripped(text, left, right); });
  }
  at.at("type").fail(fmt::format("normalizer \"{}\" is not supported", type));
}

}  // namespace retort
