// distill/cli/tokenize.cpp -- the command that shows what a tokenizer makes of a text.
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "distill/cli/commands.h"
#include "io/file.h"
#include "io/tokenizer.h"
#include "io/unicode.h"
#include "tensor/error.h"

namespace retort::cli {
namespace {

void print_ids(const Tokenizer& tokenizer, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    fmt::print("{}\n", fmt::join(tokenizer.encode(text.substr(0, end)), " "));
    text.remove_prefix(end);
  }
}

}  // namespace

int tokenize(const std::string& file, const std::string& name, bool ids) {
  const Tokenizer tokenizer = open_tokenizer(name);
  const std::string text = read_file(file);
  if (const std::size_t at = utf8_error(text); at != std::string::npos)
    throw IoError("{}: the text is no UTF-8 at byte {} of {}", file, at, text.size());
  if (ids) {
    print_ids(tokenizer, text);
    return 0;
  }
  const auto tokens = tokenizer.encode(text, false);
  const std::string back = tokenizer.decode(tokens, false);
  fmt::print("tokenizer    {}, {} ids\n", tokenizer.kind(), tokenizer.vocab_size());
  fmt::print("text         {} bytes\n", text.size());
  fmt::print("tokens       {}, {:.3f} bytes each\n", tokens.size(),
             static_cast<double>(text.size()) / static_cast<double>(std::max<std::size_t>(tokens.size(), 1)));
  if (back == text) {
    fmt::print("decoded      the same text\n");
  } else {
    const auto differ = std::mismatch(text.begin(), text.end(), back.begin(), back.end()).first - text.begin();
    fmt::print("decoded      another text from byte {} on\n", differ);
  }
  return 0;
}

}  // namespace retort::cli
