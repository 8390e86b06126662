#include "distill/convert/companions.h"

#include "io/file.h"
#include "io/json.h"
#include "tensor/error.h"

namespace retort {
namespace fs = std::filesystem;

namespace {
struct Companion {
  const char *name, *what;
  std::uintmax_t largest;  ///< bytes
};
constexpr Companion kCompanions[] = {{"config.json", "configuration", 10'000'000},
                                     {"generation_config.json", "configuration", 10'000'000},
                                     {"tokenizer.json", "tokenizer", 200'000'000},
                                     {"tokenizer_config.json", "configuration", 20'000'000},
                                     {"chat_template.jinja", "template", 10'000'000}};

std::string read_companion(const fs::path& path, const Companion& c) {
  if (fs::file_size(path) > c.largest) throw IoError("{}: too large for a {}", path.string(), c.what);
  std::string text = read_file(path);
  if (const std::size_t at = text.find('\0'); at != std::string::npos)
    throw IoError("{}: no text; byte {} is zero", path.string(), at);
  return text;
}
}  // namespace

TextMap companions_beside(const fs::path& weights) {
  TextMap found;
  for (const Companion& c : kCompanions)
    if (const fs::path path = weights.parent_path() / c.name; fs::is_regular_file(path))
      found.emplace(c.name, read_companion(path, c));
  return found;
}

TextMap companions_in(const TextMap& attributes) {
  TextMap found;
  for (const Companion& c : kCompanions)
    if (const auto text = attributes.find(c.name); text != attributes.end()) found.insert(*text);
  return found;
}

void write_companions(const TextMap& companions, const fs::path& weights) {
  for (const Companion& c : kCompanions) {
    const auto text = companions.find(c.name);
    if (text == companions.end()) continue;
    const fs::path path = weights.parent_path() / c.name;
    if (!fs::exists(path))
      write_file_atomic(path, text->second);
    else if (read_file(path) != text->second)
      throw IoError("{}: another {} is there already", path.string(), c.what);
  }
}

}  // namespace retort
