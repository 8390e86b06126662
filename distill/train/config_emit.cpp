// distill/train/config_emit.cpp -- a Config as YAML text that parses back to the same tree.
#include <algorithm>

#include "distill/train/config.h"
#include "tensor/error.h"

namespace retort {
namespace {

// Texts safe without quotes in block and flow context: a set of characters none of which means anything to YAML.
bool is_plain(std::string_view text) {
  static constexpr std::string_view safe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+()=<>@$^* ";
  static constexpr std::string_view unsafe_first = "=@* <>";
  if (text.empty() || unsafe_first.find(text.front()) != text.npos || text.back() == ' ') return false;
  if (text.starts_with("- ") || text == "-" || text.starts_with("---") || text.starts_with("...")) return false;
  if (text == "null" || text == "Null" || text == "NULL") return false;
  return text.find_first_not_of(safe) == text.npos;
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string spell(const std::string& text, bool quoted) { return !quoted && is_plain(text) ? text : quote(text); }

}  // namespace

// Lists of scalars, and lists of those, read best on one line.
bool Config::flows() const {
  if (is_map()) return std::all_of(children_.begin(), children_.end(), [](const Config& c) { return c.vacant(); });
  return std::all_of(children_.begin(), children_.end(), [](const Config& c) { return !c.is_map() && c.flows(); });
}

std::string Config::flow_yaml() const {
  switch (kind_) {
    case Kind::null:
      return "null";
    case Kind::map:
      return "{}";
    case Kind::scalar:
      return spell(text_, quoted_);
    case Kind::list:
      break;
  }
  std::vector<std::string> parts;
  for (const Config& child : children_) parts.push_back(child.flow_yaml());
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string Config::block_yaml(int indent) const {
  const std::string margin(static_cast<std::size_t>(indent), ' ');
  std::string out;
  for (const Config& child : children_) {
    if (child.vacant()) continue;
    if (is_map()) {
      const bool flows = child.flows();
      out += margin + spell(child.key_, false) + (flows ? ": " + child.flow_yaml() + "\n" : ":\n");
      if (!flows) out += child.block_yaml(indent + 2);
    } else if (child.flows()) {
      out += margin + "- " + child.flow_yaml() + "\n";
    } else {
      std::string element = child.block_yaml(indent + 2);
      element[margin.size()] = '-';
      out += element;
    }
  }
  return out;
}

std::string Config::to_yaml() const { return flows() ? flow_yaml() + "\n" : block_yaml(0); }

}  // namespace retort
