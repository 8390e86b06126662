// io/json_node.h -- a value of a JSON text that knows its path, so that what is wrong with it can be named.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

/// Reads a value strictly; every error is an IoError "FILE: model.vocab: what was wrong". The parsed text outlives it.
class JsonNode {
 public:
  /// The root of what `file` holds.
  JsonNode(const nlohmann::json& value, std::string file) : value_(&value), file_(std::move(file)) {}

  const nlohmann::json& value() const { return *value_; }
  std::string where() const { return path_.empty() ? file_ : file_ + ": " + path_; }
  [[noreturn]] void fail(const std::string& what) const;

  /// Refuses a value that is no object, and any key but these.
  void only(std::initializer_list<std::string_view> keys) const;
  /// The member of an object; a missing one is an error.
  JsonNode at(std::string_view key) const;
  /// The member, or nothing when it is missing or null.
  std::optional<JsonNode> find(std::string_view key) const;
  /// The elements of an array.
  std::vector<JsonNode> items() const;
  JsonNode item(std::size_t index) const;

  std::string text() const;
  bool flag() const;
  std::int64_t integer(std::int64_t least, std::int64_t most) const;
  double real() const;
  /// The member's value, or `fallback` when it is missing or null.
  std::string text_or(std::string_view key, std::string_view fallback) const;
  bool flag_or(std::string_view key, bool fallback) const;
  /// A text of exactly one character.
  char32_t character() const;

 private:
  JsonNode(const nlohmann::json& value, const JsonNode& parent, std::string path)
      : value_(&value), file_(parent.file_), path_(std::move(path)) {}
  const nlohmann::json* value_;
  std::string file_, path_;
};

}  // namespace retort
