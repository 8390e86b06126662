// io/tokenizer_splitters.cpp -- how a text is cut into words.
#include <algorithm>
#include <array>

#include "io/tokenizer_parts.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

/// A run of a text that a pattern matches, or one between matches.
struct TextRun {
  TextSpan span;
  bool match;
};

/// Calls `found(span)` for each match of the pattern. An empty match right behind another is none.
template <class Found>
void each_match(std::string_view text, const Regex& pattern, const Found& found) {
  std::size_t from = 0, end = std::string_view::npos;  // of the last match
  while (from <= text.size()) {
    const auto match = pattern.find(text, from);
    if (!match) return;
    const bool empty = match->begin == match->end;
    if (!empty || match->begin != end) found(*match);
    end = match->end;
    from = match->end;
    if (!empty) continue;
    if (from >= text.size()) return;
    next_character(text, from);
  }
}

std::vector<TextRun> runs_of(std::string_view text, const Regex& pattern) {
  std::vector<TextRun> runs;
  std::size_t done = 0;
  each_match(text, pattern, [&](TextSpan match) {
    if (done < match.begin) runs.push_back({{done, match.begin}, false});
    runs.push_back({match, true});
    done = match.end;
  });
  if (done < text.size()) runs.push_back({{done, text.size()}, false});
  return runs;
}

/// Each character of the class is a match of its own.
std::vector<TextRun> runs_of(std::string_view text, bool (*in_class)(char32_t)) {
  std::vector<TextRun> runs;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const bool match = in_class(next_character(text, at));
    if (!match && !runs.empty() && !runs.back().match)
      runs.back().span.end = at;
    else
      runs.push_back({{begin, at}, match});
  }
  return runs;
}

std::vector<TextSpan> joined(const std::vector<TextRun>& runs, SplitBehavior behavior) {
  std::vector<TextSpan> spans;
  bool before = false;  // whether the run before was a match
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const TextSpan span = runs[i].span;
    const bool match = runs[i].match;
    const auto join = [&](bool wanted) {
      if (wanted)
        spans.back().end = span.end;
      else
        spans.push_back(span);
    };
    switch (behavior) {
      case SplitBehavior::removed:
        if (!match) spans.push_back(span);
        break;
      case SplitBehavior::isolated:
        spans.push_back(span);
        break;
      case SplitBehavior::contiguous:
        join(i > 0 && match == before);
        break;
      case SplitBehavior::merged_with_previous:
        join(i > 0 && match && !before);
        break;
      case SplitBehavior::merged_with_next:
        // Of several matches in a row only the last goes with what follows.
        join(i > 0 && !match && before);
        break;
    }
    before = match;
  }
  return spans;
}

void put_spans(std::string_view piece, bool leading, const std::vector<TextSpan>& spans, TextPieces& out) {
  for (const TextSpan& span : spans)
    out.add(piece.substr(span.begin, span.end - span.begin), leading && span.begin == 0);
}

class PatternSplitter : public TextSplitter {
 public:
  PatternSplitter(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    std::vector<TextRun> runs = runs_of(piece, pattern_);
    if (invert_)
      for (TextRun& run : runs) run.match = !run.match;
    put_spans(piece, leading, joined(runs, behavior_), out);
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class ClassSplitter : public TextSplitter {
 public:
  ClassSplitter(bool (*in_class)(char32_t), SplitBehavior behavior) : in_class_(in_class), behavior_(behavior) {}
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    put_spans(piece, leading, joined(runs_of(piece, in_class_), behavior_), out);
  }

 private:
  bool (*in_class_)(char32_t);
  SplitBehavior behavior_;
};

/// Words and runs of what is neither word nor space; spaces vanish.
class WhitespaceSplitter : public TextSplitter {
 public:
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    enum class Sort : std::uint8_t { space, word, other } before = Sort::space;
    std::size_t begin = 0;
    const auto close = [&](std::size_t end) {
      if (before != Sort::space) out.add(piece.substr(begin, end - begin), leading && begin == 0);
      begin = end;
    };
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t here = at;
      const char32_t c = next_character(piece, at);
      const Sort sort = is_word(c) ? Sort::word : is_space(c) ? Sort::space : Sort::other;
      if (sort != before) close(here);
      before = sort;
    }
    close(piece.size());
  }
};

class ByteSpeller : public TextSplitter {
 public:
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    out.add(to_byte_alphabet(piece), leading);
  }
};

class SpacePrefixer : public TextSplitter {
 public:
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    out.add(piece.starts_with(' ') ? std::string(piece) : " " + std::string(piece), leading);
  }
};

/// Spaces as a visible character, one before the text, and words that begin with it.
class MetaspaceSplitter : public TextSplitter {
 public:
  enum class Prepend : std::uint8_t { always, first, never };
  MetaspaceSplitter(char32_t mark, Prepend prepend, bool cut) : prepend_(prepend), cut_(cut) {
    append_character(mark_, mark);
  }
  void split(std::string_view piece, bool leading, TextPieces& out) const override {
    std::string text;
    for (const char c : piece)
      if (c == ' ')
        text += mark_;
      else
        text.push_back(c);
    const bool wanted = prepend_ == Prepend::always || (prepend_ == Prepend::first && leading);
    if (wanted && !text.starts_with(mark_)) text.insert(0, mark_);
    if (!cut_) return out.add(text, leading);
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end =
          std::min(text.find(mark_, begin == 0 && !text.starts_with(mark_) ? 0 : begin + mark_.size()), text.size());
      out.add(std::string_view(text).substr(begin, end - begin), leading && begin == 0);
      begin = end;
    }
  }

 private:
  std::string mark_;
  Prepend prepend_;
  bool cut_;
};

SplitBehavior read_behavior(const JsonNode& at) {
  const std::string word = at.text();
  if (word == "Removed") return SplitBehavior::removed;
  if (word == "Isolated") return SplitBehavior::isolated;
  if (word == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (word == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (word == "Contiguous") return SplitBehavior::contiguous;
  at.fail(fmt::format("unknown behaviour \"{}\"", word));
}

void read_byte_level(const JsonNode& at, std::vector<std::unique_ptr<TextSplitter>>& out) {
  at.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});  // trim_offsets has no part in ids
  if (at.at("add_prefix_space").flag()) out.push_back(std::make_unique<SpacePrefixer>());
  if (at.flag_or("use_regex", true))
    out.push_back(split_at_pattern(Regex(kGpt2Pattern, at.where()), SplitBehavior::isolated, false));
  out.push_back(spell_in_bytes());
}

std::unique_ptr<TextSplitter> read_metaspace(const JsonNode& at) {
  at.only({"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  using Prepend = MetaspaceSplitter::Prepend;
  const std::string scheme = at.text_or("prepend_scheme", at.flag_or("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never")
    at.at("prepend_scheme").fail(fmt::format("unknown scheme \"{}\"; known are always first never", scheme));
  if (!at.flag_or("add_prefix_space", true) && scheme != "never")
    at.at("add_prefix_space").fail(fmt::format("false, although prepend_scheme is {}", scheme));
  const Prepend prepend = scheme == "always" ? Prepend::always : scheme == "first" ? Prepend::first : Prepend::never;
  return std::make_unique<MetaspaceSplitter>(at.at("replacement").character(), prepend, at.flag_or("split", true));
}

}  // namespace

std::unique_ptr<TextSplitter> split_at_pattern(Regex pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<PatternSplitter>(std::move(pattern), behavior, invert);
}
std::unique_ptr<TextSplitter> split_into_digits() {
  return std::make_unique<ClassSplitter>(is_numeric, SplitBehavior::isolated);
}
std::unique_ptr<TextSplitter> spell_in_bytes() { return std::make_unique<ByteSpeller>(); }

std::string replace_matches(std::string_view text, const Regex& pattern, std::string_view by) {
  std::string out;
  std::size_t done = 0;
  each_match(text, pattern, [&](TextSpan match) {
    out.append(text, done, match.begin - done).append(by);
    done = match.end;
  });
  return out.append(text, done);
}

Regex read_pattern(const JsonNode& at) {
  at.only({"String", "Regex"});
  if (at.value().size() != 1) at.fail("one of String and Regex is wanted");
  if (const auto text = at.find("String")) return Regex(quoted_pattern(text->text()), text->where());
  return Regex(at.at("Regex").text(), at.at("Regex").where());
}

void read_splitters(const JsonNode& at, std::vector<std::unique_ptr<TextSplitter>>& out) {
  const std::string type = at.at("type").text();
  const auto by_class = [&](bool (*in_class)(char32_t), SplitBehavior behavior) {
    out.push_back(std::make_unique<ClassSplitter>(in_class, behavior));
  };
  if (type == "Sequence") {
    at.only({"type", "pretokenizers"});
    for (const JsonNode& part : at.at("pretokenizers").items()) read_splitters(part, out);
  } else if (type == "ByteLevel") {
    read_byte_level(at, out);
  } else if (type == "Split") {
    at.only({"type", "pattern", "behavior", "invert"});
    out.push_back(
        split_at_pattern(read_pattern(at.at("pattern")), read_behavior(at.at("behavior")), at.at("invert").flag()));
  } else if (type == "Whitespace") {
    at.only({"type"});
    out.push_back(std::make_unique<WhitespaceSplitter>());
  } else if (type == "WhitespaceSplit") {
    at.only({"type"});
    by_class(is_space, SplitBehavior::removed);
  } else if (type == "BertPreTokenizer") {
    at.only({"type"});
    by_class(is_space, SplitBehavior::removed);
    by_class(is_punctuation, SplitBehavior::isolated);
  } else if (type == "Digits") {
    at.only({"type", "individual_digits"});
    by_class(is_numeric, at.at("individual_digits").flag() ? SplitBehavior::isolated : SplitBehavior::contiguous);
  } else if (type == "Punctuation") {
    at.only({"type", "behavior"});
    const auto behavior = at.find("behavior");
    by_class(is_punctuation, behavior ? read_behavior(*behavior) : SplitBehavior::isolated);
  } else if (type == "Metaspace") {
    out.push_back(read_metaspace(at));
  } else {
    at.at("type").fail(fmt::format("pre-tokenizer \"{}\" is not supported", type));
  }
}

}  // namespace retort
