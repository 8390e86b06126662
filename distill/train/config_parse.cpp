// distill/train/config_parse.cpp -- YAML text to a Config, refusing what YAML allows and a job file should not hold.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "distill/train/config.h"
#include "tensor/error.h"

namespace retort {
namespace {

// Other YAML readers turn these keys into booleans, so a file that holds one means two things.
bool is_yaml_boolean(std::string key) {
  static constexpr std::array words = {"y", "n", "yes", "no", "on", "off", "true", "false"};
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(words.begin(), words.end(), key) != words.end();
}

bool indented_by_tab(const std::string& text, int line) {
  std::istringstream lines(text);
  std::string content;
  for (int i = 0; i <= line; ++i) std::getline(lines, content);
  return content.find('\t') < content.find_first_not_of(" \t");
}

}  // namespace

/// Receives the parser's events. Events, not nodes: they still show duplicates, anchors, quotes and positions.
class ConfigBuilder : public YAML::EventHandler {
 public:
  /// Fills `root`, whose source_ is set. Positions mean nothing for a value on the command line.
  ConfigBuilder(Config& root, bool with_positions) : root_(root), with_positions_(with_positions) {}

  static Config build(const std::string& text, const std::string& source, bool with_positions);

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_extras(mark, "", anchor);
    if (wants_key()) fail(mark, "a key must be a text; got null");
    place(mark).kind_ = Config::Kind::null;
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override { refuse_extras(mark, "", anchor); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_extras(mark, tag, anchor);
    if (wants_key()) {
      take_key(mark, value);
      return;
    }
    Config& node = place(mark);
    node.kind_ = Config::Kind::scalar;
    node.text_ = value;
    node.quoted_ = tag == "!";
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    if (wants_key()) fail(mark, "a key must be a text; got a list; is a bracket not closed?");
    open(mark, Config::Kind::list);
  }
  void OnSequenceEnd() override { open_.pop_back(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    if (wants_key()) fail(mark, "a key must be a text; got a map; is a brace not closed?");
    open(mark, Config::Kind::map);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  bool wants_key() const { return !open_.empty() && open_.back()->is_map() && !pending_; }

  void open(const YAML::Mark& mark, Config::Kind kind) {
    Config& node = place(mark);
    node.kind_ = kind;
    open_.push_back(&node);
  }

  // The node that the next value fills: the root, the entry of the last key, or a new list element.
  Config& place(const YAML::Mark& mark) {
    Config* node = pending_;
    if (open_.empty()) {
      node = &root_;
    } else if (!node) {
      node = &open_.back()->append(std::to_string(open_.back()->children_.size()));
      locate(*node, mark);
    }
    pending_ = nullptr;
    return *node;
  }

  void take_key(const YAML::Mark& mark, const std::string& key) {
    Config& map = *open_.back();
    if (key.empty()) fail(mark, "a key must not be empty");
    if (key == "<<") fail(mark, "merge keys are not supported; use `extends`");
    if (is_yaml_boolean(key)) {
      fail(mark, fmt::format("the key '{}' is a boolean in YAML 1.1; choose another name", key));
    }
    if (const Config* first = map.entry(key)) {
      fail(mark, fmt::format("duplicate key '{}'; first given at {}", key, first->location()));
    }
    pending_ = &map.append(key);
    locate(*pending_, mark);
  }

  void locate(Config& node, const YAML::Mark& mark) const {
    if (!with_positions_) return;
    node.line_ = mark.line + 1;
    node.column_ = mark.column + 1;
  }

  void refuse_extras(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != 0) fail(mark, "anchors and aliases are not supported; write the value out, or use `extends`");
    if (!tag.empty() && tag != "?" && tag != "!") fail(mark, fmt::format("tags are not supported; got '{}'", tag));
  }

  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& what) const {
    const std::string path = open_.empty() || open_.back()->path().empty() ? "" : open_.back()->path() + ": ";
    if (!with_positions_) throw ConfigError("{}: {}{}", root_.source_, path, what);
    throw ConfigError("{}:{}:{}: {}{}", root_.source_, mark.line + 1, mark.column + 1, path, what);
  }

  Config& root_;
  bool with_positions_;
  std::vector<Config*> open_;
  Config* pending_ = nullptr;
};

Config ConfigBuilder::build(const std::string& text, const std::string& source, bool with_positions) {
  Config root;
  root.source_ = source;
  root.kind_ = Config::Kind::null;  // an empty text has no events
  ConfigBuilder builder(root, with_positions);
  std::istringstream stream(text +
                            "\n...\n");  // the parser takes an unclosed quote at the end; a document end shows it
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    Config rest;
    ConfigBuilder other(rest, with_positions);
    if (parser.HandleNextDocument(other)) throw ConfigError("{}: expected one YAML document; got several", source);
  } catch (const YAML::Exception& e) {
    if (!with_positions || e.mark.is_null()) throw ConfigError("{}: bad YAML syntax: {}", source, e.msg);
    throw ConfigError("{}:{}:{}: bad YAML syntax: {}{}", source, e.mark.line + 1, e.mark.column + 1, e.msg,
                      indented_by_tab(text, e.mark.line) ? "; the line is indented with a tab, use spaces" : "");
  }
  return root;
}

Config Config::parse(std::string_view text, const std::string& source) {
  Config root = ConfigBuilder::build(std::string(text), source, true);
  if (root.is_null()) root.kind_ = Kind::map;
  if (!root.is_map()) throw ConfigError("{}: expected a map at the top; got {}", source, root.describe());
  return root;
}

Config Config::parse_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw IoError("{}: cannot be read: {}", path.string(), std::strerror(errno));
  return parse(text.str(), path.string());
}

void Config::apply_override(std::string_view assignment) {
  const std::size_t equals = assignment.find('=');
  if (equals == 0 || equals == assignment.npos) {
    throw ConfigError("command line: expected key.path=value; got '{}'", assignment);
  }
  const std::string_view path = assignment.substr(0, equals);
  const std::string text(assignment.substr(equals + 1));
  Config value;
  try {
    value = ConfigBuilder::build(text, "command line", false);
  } catch (const ConfigError& e) {
    throw ConfigError("{}; got '{}'", e.what(), assignment);
  }
  Config* hit = find(path, Walk::look);
  (hit ? *hit : make(path, Walk::look)).assign(value);
}

}  // namespace retort
