#include "io/json_node.h"

#include <algorithm>

#include "io/unicode.h"
#include "tensor/error.h"

namespace retort {

void JsonNode::fail(const std::string& what) const { throw IoError("{}: {}", where(), what); }

void JsonNode::only(std::initializer_list<std::string_view> keys) const {
  if (!value_->is_object()) fail(fmt::format("an object is wanted; got {}", value_->type_name()));
  for (const auto& entry : value_->get_ref<const nlohmann::json::object_t&>())
    if (std::find(keys.begin(), keys.end(), entry.first) == keys.end())
      fail(fmt::format("unknown key \"{}\"; known are {}", entry.first, fmt::join(keys, " ")));
}

JsonNode JsonNode::at(std::string_view key) const {
  if (!value_->is_object()) fail(fmt::format("an object is wanted; got {}", value_->type_name()));
  const auto member = value_->find(std::string(key));
  if (member == value_->end()) fail(fmt::format("\"{}\" is missing", key));
  return {*member, *this, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key)};
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  if (!value_->is_object()) fail(fmt::format("an object is wanted; got {}", value_->type_name()));
  const auto member = value_->find(std::string(key));
  if (member == value_->end() || member->is_null()) return std::nullopt;
  return at(key);
}

JsonNode JsonNode::item(std::size_t index) const {
  if (!value_->is_array() || index >= value_->size()) fail(fmt::format("an array of more than {} is wanted", index));
  return {(*value_)[index], *this, fmt::format("{}[{}]", path_, index)};
}

std::vector<JsonNode> JsonNode::items() const {
  if (!value_->is_array()) fail(fmt::format("an array is wanted; got {}", value_->type_name()));
  std::vector<JsonNode> all;
  for (std::size_t i = 0; i < value_->size(); ++i) all.push_back(item(i));
  return all;
}

std::string JsonNode::text() const {
  if (!value_->is_string()) fail(fmt::format("a text is wanted; got {}", value_->type_name()));
  return value_->get<std::string>();
}

bool JsonNode::flag() const {
  if (!value_->is_boolean()) fail(fmt::format("true or false is wanted; got {}", value_->type_name()));
  return value_->get<bool>();
}

std::int64_t JsonNode::integer(std::int64_t least, std::int64_t most) const {
  if (!value_->is_number_integer()) fail(fmt::format("an integer is wanted; got {}", value_->type_name()));
  const bool fits = !value_->is_number_unsigned() || value_->get<std::uint64_t>() <= std::uint64_t{INT64_MAX};
  if (!fits || value_->get<std::int64_t>() < least || value_->get<std::int64_t>() > most)
    fail(fmt::format("an integer in [{}, {}] is wanted; got {}", least, most, value_->dump()));
  return value_->get<std::int64_t>();
}

double JsonNode::real() const {
  if (!value_->is_number()) fail(fmt::format("a number is wanted; got {}", value_->type_name()));
  return value_->get<double>();
}

std::string JsonNode::text_or(std::string_view key, std::string_view fallback) const {
  const auto member = find(key);
  return member ? member->text() : std::string(fallback);
}

bool JsonNode::flag_or(std::string_view key, bool fallback) const {
  const auto member = find(key);
  return member ? member->flag() : fallback;
}

char32_t JsonNode::character() const {
  const std::string all = text();
  std::size_t at = 0;
  const char32_t c = all.empty() ? 0 : next_character(all, at);
  if (all.empty() || at != all.size()) fail(fmt::format("one character is wanted; got \"{}\"", all));
  return c;
}

}  // namespace retort
