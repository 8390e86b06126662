// distill/convert/model_config.h -- configurations of other libraries' models: JSON whose keys are read one by one, so
// that a key nobody understands is never passed over.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retort {

/// An object of a config.json. A null counts as absent. Every reader throws ConfigError "WHERE: "key": .." for a value
/// of another type or one that makes no sense, and, without a fallback, for an absent key.
class ModelConfig {
 public:
  /// Throws IoError for bad JSON, ConfigError for anything but an object.
  ModelConfig(std::string_view text, const std::string& where);

  bool has(const std::string& key) const;
  /// Whether the key is there, null or not.
  bool mentions(const std::string& key) const { return json_.contains(key); }
  std::int64_t integer(const std::string& key, std::int64_t fallback, std::int64_t least = 1);
  std::int64_t integer(const std::string& key);  ///< positive
  double real(const std::string& key);           ///< positive
  double real(const std::string& key, double fallback);
  bool flag(const std::string& key, bool fallback);
  std::string word(const std::string& key);
  std::string word(const std::string& key, const std::string& fallback);
  std::vector<std::string> words(const std::string& key);  ///< none when absent
  /// Positive whole numbers, `fallback` when absent.
  std::vector<std::int64_t> integers(const std::string& key, const std::vector<std::int64_t>& fallback);
  /// A height and a width: [h, w], or one number for both.
  std::pair<std::int64_t, std::int64_t> extents(const std::string& key, std::int64_t fallback);
  /// How many entries the object has; `fallback` when absent.
  std::int64_t entries(const std::string& key, std::int64_t fallback);
  ModelConfig section(const std::string& key);  ///< empty when absent
  std::vector<ModelConfig> sections(const std::string& key);
  /// Keys that change nothing in models of the family that is being read.
  void ignore(std::initializer_list<const char*> keys);
  /// Where only one value is supported, which is also the default.
  void expect(const std::string& key, const nlohmann::json& only);
  /// Throws ConfigError naming the keys that nobody read and that are not known to change nothing.
  void done() const;
  /// A ConfigError at this key: "WHERE: "key": WHAT".
  [[noreturn]] void fail(const std::string& key, const std::string& what) const;

 private:
  const nlohmann::json& at(const std::string& key);

  nlohmann::json json_;
  std::string where_;
  std::set<std::string> read_;
};

}  // namespace retort
