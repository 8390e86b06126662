// io/regex.h -- regular expressions of tokenizer files, over UTF-8 and Unicode's properties, by PCRE2.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace retort {

/// Bytes [begin, end) of a text.
struct TextSpan {
  std::size_t begin, end;
  friend bool operator==(const TextSpan&, const TextSpan&) = default;
};

/// A pattern as Oniguruma reads it, whose dialect tokenizer files are written in: \s is White_Space, \w letters, marks,
/// decimal digits and connectors, ^ and $ match at lines. What would mean something else to PCRE2 (nested or
/// intersected classes, options other than i and x, verbs, repeats of repeats) is refused. An object serves one thread
/// at a time.
class Regex {
 public:
  /// Throws IoError "WHERE: .." for a pattern that is refused, wrong or too large.
  Regex(std::string_view pattern, const std::string& where);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The first match that begins at byte `from` or later; what lies before it is context. The text is well-formed
  /// UTF-8. Throws ValueError when matching takes too many steps or too much memory.
  std::optional<TextSpan> find(std::string_view text, std::size_t from) const;

 private:
  struct Program;
  std::unique_ptr<Program> program_;
};

/// The pattern that matches `text` and nothing else.
std::string quoted_pattern(std::string_view text);

}  // namespace retort
