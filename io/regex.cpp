// io/regex.cpp -- from Oniguruma's dialect to PCRE2's, and matching by PCRE2's compiler to machine code.
#include "io/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>

#include "tensor/error.h"

namespace retort {
namespace {

constexpr std::size_t kLongestPattern = 1 << 14;
constexpr std::uint32_t kMostSteps = 1'000'000, kMostHeapKib = 64 << 10;
constexpr std::size_t kJitStackStart = 32 << 10, kJitStackMost = 8 << 20;

// Oniguruma counts Latin-1's superscripts and fractions among the characters of words.
constexpr std::string_view kWordClass = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";

/// Rewrites a pattern; what the two dialects read differently is translated or refused.
class DialectReader {
 public:
  DialectReader(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string read() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\')
        escape();
      else if (in_class_)
        class_character();
      else
        character();
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    throw IoError("{}: the regular expression {} at byte {}; got {}", where_, why, at_, pattern_);
  }
  bool next_is(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  void copy(std::size_t count) {
    out_.append(pattern_, at_, count);
    at_ += count;
  }
  void put(std::string_view text, std::size_t read) {
    out_.append(text);
    at_ += read;
  }

  void escape() {
    if (at_ + 1 >= pattern_.size()) refuse("ends in a backslash");
    switch (pattern_[at_ + 1]) {
      case 's':
        return put("\\p{White_Space}", 2);
      case 'S':
        return put("\\P{White_Space}", 2);
      case 'd':
        return put("\\p{Nd}", 2);
      case 'D':
        return put("\\P{Nd}", 2);
      case 'h':
        return put(in_class_ ? "0-9a-fA-F" : "[0-9a-fA-F]", 2);
      case 'w':
        return put(in_class_ ? std::string(kWordClass) : fmt::format("[{}]", kWordClass), 2);
      case 'W':
        if (in_class_) refuse("has \\W in a class, which is not supported,");
        return put(fmt::format("[^{}]", kWordClass), 2);
      case 'p':
      case 'P':
        return property();
      case 'b':
        return in_class_ ? copy(2) : put(fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", kWordClass), 2);
      case 'B':
        return put(fmt::format("(?:(?<=[{0}])(?=[{0}])|(?<![{0}])(?![{0}]))", kWordClass), 2);
      case 'H':
      case 'Q':
      case 'E':
      case 'C':
      case 'K':
      case 'N':
      case 'O':
      case 'M':
      case 'c':
      case 'o':
      case 'y':
      case 'Y':
        refuse(fmt::format("has \\{}, which is not supported,", pattern_[at_ + 1]));
      default:
        was_repeat_ = was_count_ = false;
        return copy(2);
    }
  }

  /// \p{L} is a category; a longer name is a script, without the characters that other scripts share with it.
  void property() {
    const std::size_t end = pattern_.find('}', at_);
    if (at_ + 2 >= pattern_.size() || pattern_[at_ + 2] != '{' || end == std::string_view::npos)
      refuse("has a property without braces, which is not supported,");
    std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    const bool inverse = name.starts_with('^');
    if (inverse) name.remove_prefix(1);
    const std::size_t read = end + 1 - at_;
    put(fmt::format("\\{}{{{}{}{}}}", pattern_[at_ + 1], inverse ? "^" : "", name.size() > 2 ? "sc:" : "", name), read);
  }

  void class_character() {
    if (next_is("&&")) refuse("intersects classes, which is not supported,");
    if (next_is("[:")) {
      const std::size_t end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) refuse("has an open class");
      return copy(end + 2 - at_);
    }
    if (pattern_[at_] == '[') refuse("nests classes, which is not supported,");
    if (pattern_[at_] == ']' && at_ > class_begin_) in_class_ = false;
    copy(1);
  }

  void character() {
    const char c = pattern_[at_];
    if (c == '[') {
      in_class_ = true;
      was_repeat_ = was_count_ = false;
      copy(next_is("[^") ? 2 : 1);
      class_begin_ = at_;
      return;
    }
    if (next_is("(*")) refuse("has a verb, which is not supported,");
    if (next_is("(?")) return group();
    if (c == '{') return interval();
    if ((c == '+' && was_repeat_) || (c == '?' && was_count_)) refuse("repeats a repeat, which is not supported,");
    was_repeat_ = was_count_ = false;
    copy(1);
  }

  /// Options: i and x mean the same to both.
  void group() {
    std::size_t end = at_ + 2;
    while (end < pattern_.size() && (std::isalpha(static_cast<unsigned char>(pattern_[end])) || pattern_[end] == '-'))
      ++end;
    const std::string_view options = pattern_.substr(at_ + 2, end - at_ - 2);
    if (options.find_first_not_of("ix-") != std::string_view::npos || next_is("(?P") || next_is("(?R") ||
        next_is("(?(") || next_is("(?|") || next_is("(?~") || next_is("(?{") || next_is("(?&") || next_is("(?+") ||
        (at_ + 2 < pattern_.size() && std::isdigit(static_cast<unsigned char>(pattern_[at_ + 2]))))
      refuse("has a group of a kind that is not supported,");
    if (end < pattern_.size() && pattern_[end] == ')' && at_ > 0)
      refuse("has options amid it, which is not supported,");
    was_repeat_ = was_count_ = false;
    copy(end - at_);
  }

  /// {n}, {n,m}: a + behind it would repeat it again to one and make it possessive to the other; so with ? behind {n}.
  void interval() {
    const std::size_t end = pattern_.find('}', at_);
    const std::string_view inside = pattern_.substr(at_ + 1, end == std::string_view::npos ? 0 : end - at_ - 1);
    was_repeat_ = !inside.empty() && inside.find_first_not_of("0123456789,") == std::string_view::npos;
    if (was_repeat_ && inside.front() == ',') refuse("has a repeat without a least count, which is not supported,");
    was_count_ = was_repeat_ && inside.find(',') == std::string_view::npos;
    copy(was_repeat_ ? inside.size() + 2 : 1);
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
  std::size_t at_ = 0, class_begin_ = 0;
  bool in_class_ = false, was_repeat_ = false, was_count_ = false;
};

std::string pcre_error(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

template <auto Free>
struct PcreFree {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace

struct Regex::Program {
  std::unique_ptr<pcre2_code, PcreFree<pcre2_code_free>> code;
  std::unique_ptr<pcre2_match_data, PcreFree<pcre2_match_data_free>> match;
  std::unique_ptr<pcre2_match_context, PcreFree<pcre2_match_context_free>> limits;
  std::unique_ptr<pcre2_jit_stack, PcreFree<pcre2_jit_stack_free>> stack;
};

Regex::Regex(std::string_view pattern, const std::string& where) : program_(std::make_unique<Program>()) {
  if (pattern.size() > kLongestPattern)
    throw IoError("{}: a regular expression has at most {} bytes; got {}", where, kLongestPattern, pattern.size());
  const std::string translated = DialectReader(pattern, where).read();
  const std::unique_ptr<pcre2_compile_context, PcreFree<pcre2_compile_context_free>> dialect(
      pcre2_compile_context_create(nullptr));
  if (!dialect) throw MemoryError("regex: no memory");
  pcre2_set_newline(dialect.get(), PCRE2_NEWLINE_LF);
  int code = 0;
  PCRE2_SIZE at = 0;
  program_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &at,
                                     dialect.get()));
  if (!program_->code)
    throw IoError("{}: bad regular expression, {} at byte {} of {}", where, pcre_error(code), at, translated);
  // Where the compiler to machine code is missing, patterns are interpreted.
  pcre2_jit_compile(program_->code.get(), PCRE2_JIT_COMPLETE);
  program_->match.reset(pcre2_match_data_create(1, nullptr));
  program_->limits.reset(pcre2_match_context_create(nullptr));
  program_->stack.reset(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr));
  if (!program_->match || !program_->limits) throw MemoryError("regex: no memory");
  pcre2_set_match_limit(program_->limits.get(), kMostSteps);
  pcre2_set_heap_limit(program_->limits.get(), kMostHeapKib);
  if (program_->stack) pcre2_jit_stack_assign(program_->limits.get(), nullptr, program_->stack.get());
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

std::optional<TextSpan> Regex::find(std::string_view text, std::size_t from) const {
  const int count = pcre2_match(program_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                PCRE2_NO_UTF_CHECK, program_->match.get(), program_->limits.get());
  if (count == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (count < 0)
    throw ValueError("regex: matching a text of {} bytes failed from byte {} on; {}", text.size(), from,
                     pcre_error(count));
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(program_->match.get());
  return TextSpan{span[0], span[1]};
}

std::string quoted_pattern(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && std::ispunct(static_cast<unsigned char>(c))) pattern.push_back('\\');
    pattern.push_back(c);
  }
  return pattern;
}

}  // namespace retort
