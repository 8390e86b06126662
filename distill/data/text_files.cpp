#include "distill/data/text_files.h"

#include <glob.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "distill/data/json_lines.h"
#include "io/file.h"
#include "tensor/error.h"
#include "tensor/rng.h"

namespace retort {

namespace fs = std::filesystem;

namespace {
constexpr std::string_view kSpace = " \t\r\f\v\n";

/// A Debian package whose text can be had by name: the same files on every machine, whatever else is beside them.
struct TextPackage {
  std::string folder, separator;
  std::vector<std::string> files;
};

const std::map<std::string, TextPackage>& text_packages() {
  // The English prose of fortunes and of fortunes-min, which it depends on; no pictures, verse, chats or programs.
  static const std::map<std::string, TextPackage> known{
      {"fortunes",
       {"/usr/share/games/fortunes",
        "%",
        {"art",           "computers", "cookie",    "definitions", "education",  "food",       "fortunes",
         "goedel",        "humorists", "kids",      "law",         "literature", "love",       "medicine",
         "miscellaneous", "news",      "paradoxum", "people",      "pets",       "platitudes", "politics",
         "riddles",       "science",   "sports",    "startrek",    "tao",        "wisdom",     "work"}}}};
  return known;
}

std::string without_overstriking(const std::string& text) {
  std::string plain;
  for (const char c : text) {
    if (c != '\b')
      plain += c;
    else if (!plain.empty() && plain.back() != '\n')
      plain.pop_back();
  }
  return plain;
}

std::string_view trimmed(std::string_view s) {
  const std::size_t first = s.find_first_not_of(kSpace);
  return first == std::string_view::npos ? std::string_view() : s.substr(first, s.find_last_not_of(kSpace) - first + 1);
}

/// Letters, digits and bytes beyond ASCII; the passage itself when it has none.
std::string gist_of(const std::string& passage) {
  std::string gist;
  for (const char c : passage) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 128 || std::isalnum(byte)) gist += static_cast<char>(byte < 128 ? std::tolower(byte) : byte);
  }
  return gist.empty() ? passage : gist;
}

/// The regular files that a pattern names, sorted by their bytes.
std::vector<fs::path> matching(const std::string& pattern, Config& at) {
  if (pattern.find_first_of("*?[") == std::string::npos) return {pattern};
  glob_t found{};
  const int status = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<fs::path> paths;
  for (std::size_t i = 0; status == 0 && i < found.gl_pathc; ++i)
    if (fs::is_regular_file(found.gl_pathv[i])) paths.emplace_back(found.gl_pathv[i]);
  ::globfree(&found);
  if (paths.empty()) throw IoError("{}: no file is named like this; got {}", at.where(), pattern);
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// The text files of a section and the line between their passages. A file that goes by two names is read once.
struct TextFiles {
  std::vector<fs::path> paths;
  std::string separator;
};

TextFiles files_of(Config& c) {
  if (c.has("package") == c.has("files")) c.fail("text comes from a `package` or from `files`, one of them");
  if (c.has("fields") && (c.has("package") || c.has("separator")))
    c.child("fields").fail("JSON lines come from `files`, and each is a text: no `package`, no `separator`");
  TextFiles all;
  if (c.has("package")) {
    std::vector<std::string> names;
    for (const auto& [name, package] : text_packages()) names.push_back(name);
    const std::string name = c.get_choice("package", names);
    const TextPackage& package = text_packages().at(name);
    all.separator = c.get("separator", package.separator);
    for (const std::string& file : package.files) {
      all.paths.push_back(fs::path(package.folder) / file);
      if (!fs::is_regular_file(all.paths.back()))
        throw IoError("{}: {} is missing; install it: apt-get install {}", c.where(), all.paths.back().string(), name);
    }
    return all;
  }
  if (!c.has("fields")) all.separator = c.get("separator", "");
  std::set<fs::path> seen;
  for (Config& pattern : c.child("files").items())
    for (const fs::path& path : matching(pattern.as<std::string>(), pattern))
      if (seen.insert(fs::weakly_canonical(path)).second) all.paths.push_back(path);
  if (all.paths.empty()) c.child("files").fail("name at least one file");
  return all;
}

/// What one split is, and what of it was met.
class SplitFilter {
 public:
  explicit SplitFilter(Config& c)
      : split_(c.get_choice("split", {"train", "valid", "test"}, "train")),
        held_out_(c.get_real("held_out", .05, {.max = .4, .above = 0})) {}
  /// Whether the passage is of the split, which `key` decides, and no copy of one before.
  bool wants(const std::string& key, const std::string& passage) {
    const TextSplit part = split_of(key, held_out_);
    const bool ours = split_ == (part == TextSplit::train ? "train" : part == TextSplit::valid ? "valid" : "test");
    return ours && gists_.insert(gist_of(passage)).second;
  }

 private:
  std::string split_;
  double held_out_;
  std::set<std::string> gists_;
};

struct Passage {
  std::string text, where;
};

/// Passages of a plain file, or of one with JSON lines, under `field`.
std::vector<Passage> passages_of(const fs::path& path, const std::string& separator, const std::string& field) {
  std::vector<Passage> all;
  if (!field.empty()) {
    for (JsonLine& line : read_json_lines(path, {field}))
      if (!line.texts[0].empty()) all.push_back({std::move(line.texts[0]), line.where});
    return all;
  }
  const std::string text = read_file(path);
  if (const std::size_t at = text.find('\0'); at != std::string::npos)
    throw IoError("{}: no plain text; byte {} is zero", path.string(), at);
  for (std::string& passage : passages_in(text, separator)) all.push_back({std::move(passage), path.string()});
  if (all.empty()) throw IoError("{}: the file has no passage", path.string());
  return all;
}

/// Texts of one split between marks, or one text of them all, in the order of the files.
std::vector<TokenIds> read_split(const TextFiles& files, SplitFilter filter, const TextCoder& coder, bool pack,
                                 const std::string& field) {
  std::vector<TokenIds> texts;
  for (const fs::path& path : files.paths)
    for (const Passage& passage : passages_of(path, files.separator, field)) {
      if (!filter.wants(passage.text, passage.text)) continue;
      const bool fresh = !pack || texts.empty();
      if (fresh) texts.emplace_back();
      TokenIds& text = texts.back();
      if (coder.begin() >= 0)
        text.push_back(coder.begin());
      else if (fresh)
        text.push_back(coder.end());
      const TokenIds ids = coder.encode(passage.text, passage.where);
      text.insert(text.end(), ids.begin(), ids.end());
      text.push_back(coder.end());
    }
  return texts;
}

std::vector<TokenRow> rows_of(const std::vector<TokenIds>& texts, std::size_t prompt, std::size_t length) {
  std::vector<TokenRow> rows;
  for (const TokenIds& text : texts)
    for (std::size_t at = 0; at + prompt < text.size(); at += length - prompt) {
      const auto begin = text.begin() + static_cast<std::ptrdiff_t>(at);
      const auto cut = begin + static_cast<std::ptrdiff_t>(prompt);
      TokenRow row;
      row.prompt.assign(begin, cut);
      row.response.assign(cut, begin + static_cast<std::ptrdiff_t>(std::min(length, text.size() - at)));
      rows.push_back(std::move(row));
    }
  return rows;
}

/// The prompt of a row is what the tokens of the whole have in common with those of its beginning alone.
TokenRow cut_row(const TokenIds& asked, const TokenIds& whole) {
  const auto border = std::mismatch(asked.begin(), asked.end(), whole.begin(), whole.end()).second;
  TokenRow row;
  row.prompt.assign(whole.begin(), border);
  row.response.assign(border, whole.end());
  return row;
}

/// A prompt and its completion as one row.
TokenRow row_of(const JsonLine& line, const TextCoder& coder) {
  TokenIds asked, whole;
  if (coder.begin() >= 0) asked = whole = {coder.begin()};
  const auto append = [&](TokenIds& to, const std::string& text) {
    const TokenIds ids = coder.encode(text, line.where);
    to.insert(to.end(), ids.begin(), ids.end());
  };
  append(asked, line.texts[0]);
  append(whole, line.texts[0] + line.texts[1]);
  whole.push_back(coder.end());
  return cut_row(asked, whole);
}

std::vector<ChatPiece> pieces_at(const ChatLine& line, const ChatFormat& format) {
  try {
    return chat_pieces(format, line.messages, false);
  } catch (const ValueError& error) {
    throw IoError("{}: {}", line.where, error.what());
  }
}

/// Gathers rows that are at most `length` long.
class RowsOfLines {
 public:
  explicit RowsOfLines(Config& c)
      : config_(c),
        length_(static_cast<std::size_t>(c.get_int("length", 128, {.min = 2}))),
        skip_(c.get_choice("long", {"refuse", "skip"}, "refuse") == "skip") {}
  void add(TokenRow row, const std::string& where) {
    if (row.prompt.empty()) throw IoError("{}: the prompt has no token of its own", where);
    if (row.prompt.size() >= length_ && skip_) return;
    if (row.prompt.size() >= length_)
      config_.child("length").fail(fmt::format(
          "the prompt at {} alone has {} tokens; `long: skip` leaves such rows out", where, row.prompt.size()));
    row.response.resize(std::min(row.response.size(), length_ - row.prompt.size()));
    rows_.push_back(std::move(row));
  }
  std::shared_ptr<TokenSet> make_set(const TextCoder& coder) {
    if (rows_.empty()) config_.child("split").fail("no line of the files falls in this split");
    return coder.make_set(std::move(rows_));
  }

 private:
  Config& config_;
  std::size_t length_;
  bool skip_;
  std::vector<TokenRow> rows_;
};

/// Rows of files whose lines have a prompt and a completion.
std::shared_ptr<TokenSet> make_pairs(Config& c, const TextFiles& files, SplitFilter filter, const TextCoder& coder) {
  Config& fields = c.child("fields");
  const std::vector<std::string> names{fields.get<std::string>("prompt"), fields.get<std::string>("completion")};
  RowsOfLines rows(c);
  for (const fs::path& path : files.paths)
    for (const JsonLine& line : read_json_lines(path, names))
      if (filter.wants(line.texts[0], line.texts[0] + "\n" + line.texts[1])) rows.add(row_of(line, coder), line.where);
  return rows.make_set(coder);
}

const ChatFormat& chat_of(Config& c) {
  const auto name = c.get<std::string>("chat");
  const std::string where = c.child("chat").where();
  if (name != "auto") return chat_format(name, where);
  const std::string tokenizer = c.has("tokenizer") ? c.get<std::string>("tokenizer") : "";
  return chat_format(recognised_chat(tokenizer.empty() ? "" : chat_template_with(tokenizer), where), where);
}

/// Rows of files whose lines are conversations: one for each answer, with all before it as the prompt.
std::shared_ptr<TokenSet> make_chats(Config& c, const TextFiles& files, SplitFilter filter, const TextCoder& coder) {
  const auto field = c.child("fields").get<std::string>("messages");
  const ChatFormat& format = chat_of(c);
  RowsOfLines rows(c);
  for (const fs::path& path : files.paths)
    for (const ChatLine& line : read_chat_lines(path, field)) {
      const std::vector<ChatPiece> pieces = pieces_at(line, format);
      const auto asked = std::find_if(line.messages.begin(), line.messages.end(),
                                      [](const ChatMessage& m) { return m.role == "user"; });
      if (asked == line.messages.end() || !filter.wants(asked->content, chat_text(format, line.messages, false)))
        continue;
      std::string told;
      for (const ChatPiece& piece : pieces) {
        if (piece.answer)
          rows.add(cut_row(coder.encode(told, line.where), coder.encode(told + piece.text, line.where)), line.where);
        told += piece.text;
      }
    }
  return rows.make_set(coder);
}

}  // namespace

std::vector<std::string> passages_in(const std::string& text, const std::string& separator) {
  const std::string plain = without_overstriking(text);
  std::vector<std::string> passages;
  std::string current;
  const auto close = [&] {
    if (const std::string_view passage = trimmed(current); !passage.empty()) passages.emplace_back(passage);
    current.clear();
  };
  for (std::size_t at = 0; at < plain.size();) {
    const std::size_t end = std::min(plain.find('\n', at), plain.size());
    std::string_view line = std::string_view(plain).substr(at, end - at);
    line = line.substr(0, line.find_last_not_of(kSpace) + 1);
    if (line == separator)
      close();
    else
      current.append(plain, at, end - at + 1);
    at = end + 1;
  }
  close();
  return passages;
}

TextSplit split_of(const std::string& passage, double held_out) {
  const double place = static_cast<double>(Rng(0).stream(gist_of(passage)).key >> 11) * 0x1p-53;
  if (place < held_out) return TextSplit::test;
  return place < 2 * held_out ? TextSplit::valid : TextSplit::train;
}

std::shared_ptr<TokenSet> make_text_set(Config& c) {
  const TextFiles files = files_of(c);
  const TextCoder coder(c);
  const SplitFilter filter(c);
  if (c.has("fields") && c.child("fields").has("messages")) return make_chats(c, files, filter, coder);
  if (c.has("fields") && !c.child("fields").has("text")) return make_pairs(c, files, filter, coder);
  const std::string field = c.has("fields") ? c.child("fields").get<std::string>("text") : "";
  const auto prompt = static_cast<std::size_t>(c.get_int("prompt", 1, {.min = 1}));
  const auto length = static_cast<std::size_t>(c.get_int("length", 128, {.min = 2}));
  const bool pack = c.get("pack", false);
  if (length <= prompt) c.child("length").fail("a row is longer than its prompt");
  const std::vector<TokenIds> texts = read_split(files, filter, coder, pack, field);
  if (texts.empty()) c.child("split").fail("no passage of the files falls in this split");
  std::vector<TokenRow> rows = rows_of(texts, prompt, length);
  std::size_t longest = 0;
  for (const TokenIds& text : texts) longest = std::max(longest, text.size());
  if (rows.empty()) c.child("prompt").fail(fmt::format("the longest passage has {} tokens, marks included", longest));
  if (length > longest)
    c.child("length").fail(
        fmt::format("the longest {} has {} tokens, marks included", pack ? "text" : "passage", longest));
  return coder.make_set(std::move(rows));
}

}  // namespace retort
