#include "distill/data/text_files.h"

#include <glob.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

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
  all.separator = c.get("separator", "");
  std::set<fs::path> seen;
  for (Config& pattern : c.child("files").items())
    for (const fs::path& path : matching(pattern.as<std::string>(), pattern))
      if (seen.insert(fs::weakly_canonical(path)).second) all.paths.push_back(path);
  if (all.paths.empty()) c.child("files").fail("name at least one file");
  return all;
}

/// Passages of one split, in the order of the files.
std::vector<std::string> read_split(const TextFiles& files, TextSplit split, double held_out) {
  std::vector<std::string> kept;
  std::set<std::string> gists;
  for (const fs::path& path : files.paths) {
    const std::string text = read_file(path);
    if (const std::size_t at = text.find('\0'); at != std::string::npos)
      throw IoError("{}: no plain text; byte {} is zero", path.string(), at);
    const std::vector<std::string> passages = passages_in(text, files.separator);
    if (passages.empty()) throw IoError("{}: the file has no passage", path.string());
    for (const std::string& passage : passages)
      if (split_of(passage, held_out) == split && gists.insert(gist_of(passage)).second) kept.push_back(passage);
  }
  return kept;
}

/// Passages between marks, or one text of them all.
std::vector<TokenIds> marked(const std::vector<std::string>& passages, bool pack) {
  std::vector<TokenIds> texts;
  for (const std::string& passage : passages) {
    if (!pack || texts.empty()) texts.push_back({kPassageMark});
    TokenIds& text = texts.back();
    for (const char c : passage) text.push_back(static_cast<unsigned char>(c));
    text.push_back(kPassageMark);
  }
  return texts;
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
  const std::string split = c.get_choice("split", {"train", "valid", "test"}, "train");
  const double held_out = c.get_real("held_out", .05, {.max = .4, .above = 0});
  const auto prompt = static_cast<std::size_t>(c.get_int("prompt", 1, {.min = 1}));
  const auto length = static_cast<std::size_t>(c.get_int("length", 128, {.min = 2}));
  const bool pack = c.get("pack", false);
  if (length <= prompt) c.child("length").fail("a row is longer than its prompt");
  const TextSplit part = split == "train" ? TextSplit::train : split == "valid" ? TextSplit::valid : TextSplit::test;
  const std::vector<TokenIds> texts = marked(read_split(files, part, held_out), pack);
  if (texts.empty()) c.child("split").fail("no passage of the files falls in this split");
  std::size_t longest = 0;
  std::vector<TokenRow> rows;
  for (const TokenIds& text : texts) {
    longest = std::max(longest, text.size());
    for (std::size_t at = 0; at + prompt < text.size(); at += length - prompt) {
      const auto begin = text.begin() + static_cast<std::ptrdiff_t>(at);
      const auto cut = begin + static_cast<std::ptrdiff_t>(prompt);
      TokenRow row;
      row.prompt.assign(begin, cut);
      row.response.assign(cut, begin + static_cast<std::ptrdiff_t>(std::min(length, text.size() - at)));
      rows.push_back(std::move(row));
    }
  }
  if (rows.empty()) c.child("prompt").fail(fmt::format("the longest passage has {} tokens, marks included", longest));
  if (length > longest)
    c.child("length").fail(
        fmt::format("the longest {} has {} tokens, marks included", pack ? "text" : "passage", longest));
  auto set = std::make_shared<TokenSet>(kPassageMark + 1, kPassageMark, std::move(rows));
  set->set_bytes(kPassageMark);
  return set;
}

}  // namespace retort
