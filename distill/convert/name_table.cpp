// distill/convert/name_table.cpp -- patterns matched by backtracking that remembers, rules read both ways.
#include "distill/convert/name_table.h"

#include <algorithm>

#include "tensor/error.h"

namespace retort {

NamePattern::NamePattern(std::string_view text) : text_(text) {
  int runs = 0;
  for (std::size_t at = 0; at < text.size();) {
    const bool wild = text[at] == '*';
    std::size_t end = at;
    while (end < text.size() && (text[end] == '*') == wild) ++end;
    const std::string part(text.substr(at, end - at));
    if (wild && part.size() > 2) throw ValueError("pattern \"{}\": two wildcards with nothing between them", text);
    runs += part == "**";
    parts_.push_back({part, wild});
    at = end;
  }
  if (runs > 1) throw ValueError("pattern \"{}\": at most one ** can be undone", text);
}

std::optional<std::vector<std::string>> NamePattern::match(std::string_view name) const {
  std::vector<std::string> captures;
  // Which (part, rest) are known to fail: without it a pattern of many wildcards could take time without end.
  std::vector<bool> failed((parts_.size() + 1) * (name.size() + 1), false);
  if (!match_from(0, name, captures, failed)) return std::nullopt;
  return captures;
}

bool NamePattern::match_from(std::size_t part, std::string_view rest, std::vector<std::string>& captures,
                             std::vector<bool>& failed) const {
  if (part == parts_.size()) return rest.empty();
  const std::size_t state = part + (parts_.size() + 1) * rest.size();
  if (failed[state]) return false;
  const Part& p = parts_[part];
  if (!p.wild) {
    if (rest.starts_with(p.text) && match_from(part + 1, rest.substr(p.text.size()), captures, failed)) return true;
  } else {
    const bool any = p.text == "**";
    for (std::size_t length = any ? 0 : 1; length <= rest.size(); ++length) {
      if (!any && (rest[length - 1] == '.' || rest[length - 1] == '/')) break;
      captures.emplace_back(rest.substr(0, length));
      if (match_from(part + 1, rest.substr(length), captures, failed)) return true;
      captures.pop_back();
    }
  }
  failed[state] = true;
  return false;
}

std::string NamePattern::fill(const std::vector<std::string>& captures) const {
  std::string name;
  std::size_t next = 0;
  for (const Part& p : parts_) name += p.wild ? captures.at(next++) : p.text;
  return name;
}

std::string NamePattern::wildcards() const {
  std::string list;
  for (const Part& p : parts_)
    if (p.wild) list += list.empty() ? p.text : " " + p.text;
  return list;
}

namespace {
NamePattern pattern_at(Config& node) {
  try {
    return NamePattern(node.as<std::string>());
  } catch (const ValueError& error) {
    node.fail(error.what());
  }
}
}  // namespace

NameTable NameTable::parse(Config config) {
  NameTable table;
  if (config.has("rename"))
    for (Config& node : config.child("rename").items()) {
      const NamePattern from = pattern_at(node.child("from")), to = pattern_at(node.child("to"));
      if (from.wildcards() != to.wildcards())
        node.fail(
            fmt::format("the sides have other wildcards; got \"{}\" and \"{}\"", from.wildcards(), to.wildcards()));
      table.rules_.push_back({from, to});
    }
  if (config.has("drop"))
    for (Config& node : config.child("drop").items()) table.drops_.push_back(pattern_at(node));
  if (config.has("tied"))
    for (Config& node : config.child("tied").items())
      table.tied_.emplace_back(node.get<std::string>("name"), node.get<std::string>("same_as"));
  if (config.has("transpose"))
    for (Config& node : config.child("transpose").items()) table.transposed_.push_back(pattern_at(node));
  if (config.has("interleaved"))
    for (Config& node : config.child("interleaved").items())
      table.interleaved_.emplace_back(pattern_at(node.child("name")), node.get_int("head", {.min = 2}));
  if (config.has("squeeze"))
    for (Config& node : config.child("squeeze").items())
      table.squeezed_.emplace_back(pattern_at(node.child("name")), node.get_int("axes", {.min = 1, .max = 4}));
  config.check_all_read();
  const bool empty = table.rules_.empty() && table.drops_.empty() && table.tied_.empty() && table.transposed_.empty() &&
                     table.interleaved_.empty() && table.squeezed_.empty();
  if (!empty) table.text_ = config.to_yaml();
  return table;
}

NameTable NameTable::read(const std::filesystem::path& file) { return parse(Config::parse_file(file)); }

std::string NameTable::ours(std::string_view foreign) const {
  for (const Rule& rule : rules_)
    if (const auto captures = rule.from.match(foreign)) return rule.to.fill(*captures);
  return std::string(foreign);
}

std::string NameTable::foreign(std::string_view ours_name) const {
  // A rule read backwards counts only if the name it gives comes forward by it: an earlier rule may take that first.
  for (const Rule& rule : rules_)
    if (const auto captures = rule.to.match(ours_name)) {
      std::string name = rule.from.fill(*captures);
      if (ours(name) == ours_name) return name;
    }
  if (ours(ours_name) == ours_name) return std::string(ours_name);
  throw ConfigError("names: no name becomes \"{}\" by this table; an earlier rule takes it", ours_name);
}

namespace {
bool matches_any(const std::vector<NamePattern>& patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const NamePattern& p) { return p.match(name).has_value(); });
}
}  // namespace

bool NameTable::drops(std::string_view foreign) const { return matches_any(drops_, foreign); }

Reorder NameTable::reorder(std::string_view foreign) const {
  if (matches_any(transposed_, foreign)) return {.transpose = true};
  for (const auto& [pattern, head] : interleaved_)
    if (pattern.match(foreign)) return {.head = head};
  for (const auto& [pattern, axes] : squeezed_)
    if (pattern.match(foreign)) return {.ones = axes};
  return {};
}

}  // namespace retort
