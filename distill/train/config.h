// distill/train/config.h -- the strict configuration tree: job files, presets, overrides, resolved output.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <string>
#include <string_view>
#include <vector>

namespace retort {

/// Inclusive limits of an integer.
struct IntBounds {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};
/// Inclusive limits of a real number; `above` excludes its own value (`{.above = 0}` is "positive").
struct RealBounds {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();
};

/// One node of a configuration: a map (in the order written), a list, a scalar or null. A Config is a value: a copy
/// shares nothing with its original. Every node knows where it was written and whether somebody read it, so that
/// `check_all_read()` can name the keys nobody wanted. Reading is therefore not const: it records the key as known, and
/// a default that was asked for becomes part of the tree, so that `to_yaml()` shows the whole resolved job.
///
/// A path is dotted, `optim.student.lr`; elements of a list are `phases.0.name`. Every error is a ConfigError reading
/// `file:line:column: path: what was wrong; got ...; hint`.
class Config {
 public:
  enum class Kind { null, scalar, list, map };
  using Items = std::vector<std::reference_wrapper<Config>>;
  /// Gives the tree that `extends: NAME` asks for; throws ConfigError for a name it does not know.
  using Resolver = std::function<Config(const std::string& name)>;

  /// An empty map.
  Config() = default;
  /// Parses one YAML document, whose root must be a map (an empty text is an empty map). `source` names the text in
  /// errors. Refused: syntax errors, duplicate keys, keys that are not plain strings or that YAML 1.1 reads as booleans
  /// (on off yes no y n), anchors, aliases, merge keys, tags, several documents.
  static Config parse(std::string_view text, const std::string& source);
  /// Reads and parses a file; throws IoError if it cannot be read.
  static Config parse_file(const std::filesystem::path& path);

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_scalar() const { return kind_ == Kind::scalar; }
  bool is_list() const { return kind_ == Kind::list; }
  bool is_map() const { return kind_ == Kind::map; }
  const std::string& key() const { return key_; }    ///< last part of the path; empty for the root
  const std::string& path() const { return path_; }  ///< dotted path from the root; empty for the root
  std::string where() const;                         ///< "job.yaml:3:5: optim.lr", the head of an error message
  /// A ConfigError at this node, for a reader that finds a value wrong: "<where>: <what>".
  [[noreturn]] void fail(const std::string& what) const;

  /// Whether the key was given (null counts). Makes the key known, but does not count as reading it.
  bool has(std::string_view path);
  /// The node at `path`, which counts as read; the keys inside a map are still to be read one by one. An absent or null
  /// section reads as an empty map, so that the defaults below it are recorded.
  Config& child(std::string_view path);
  /// The entries of a map or the elements of a list, in order, all counted as read (null: none; a scalar: an error).
  Items items();

  /// The value at `path`: bool, int, int64, uint64, float, double, string, or a vector of those. Conversion is strict:
  /// a number must be wholly a number and fit, an integer may be written 1e5, a boolean is true or false, a quoted text
  /// is a string only, a list is never made from a scalar. Without a default a missing key is an error.
  template <class T>
  T get(std::string_view path);
  template <class T>
  T get(std::string_view path, const T& fallback);
  std::string get(std::string_view path, const char* fallback) { return get<std::string>(path, fallback); }
  /// This node itself as a value of type T; counts as read.
  template <class T>
  T as();
  std::int64_t get_int(std::string_view path, IntBounds bounds = {});
  std::int64_t get_int(std::string_view path, std::int64_t fallback, IntBounds bounds = {});
  double get_real(std::string_view path, RealBounds bounds = {});
  double get_real(std::string_view path, double fallback, RealBounds bounds = {});
  /// One of the given words; an error lists them and names the nearest.
  std::string get_choice(std::string_view path, const std::vector<std::string>& choices);
  std::string get_choice(std::string_view path, const std::vector<std::string>& choices, const std::string& fallback);

  /// Writes a value that was worked out (T as in `get`), creating the maps above it; counts as read.
  template <class T>
  void set(std::string_view path, const T& value);
  /// Applies `path=value` from the command line; the value is YAML and replaces what was there, also a map or list.
  void apply_override(std::string_view assignment);
  /// Replaces `extends: NAME` at the root by the tree it names (which may extend another): maps are merged, anything
  /// else, lists included, is replaced by the extending file. A cycle is an error that shows it.
  void resolve_extends(const Resolver& resolver);
  /// Throws one ConfigError that lists every key nobody read, each with the nearest key known at its level.
  void check_all_read() const;
  /// The tree as YAML, deterministic: written order, recorded defaults after it, floats as the shortest text that reads
  /// back to the same bits. Parsing the result gives the same tree.
  std::string to_yaml() const;

 private:
  friend class ConfigBuilder;
  /// Whether a walk along a path is a reader's: those make keys known and sections read.
  enum class Walk { look, read };
  Config* entry(std::string_view key);
  Config* find(std::string_view path, Walk walk);
  Config& require(std::string_view path);
  Config& make(std::string_view path, Walk walk);
  Config& append(const std::string& key);
  template <class T>
  void write(const T& value);
  void assign(const Config& value);
  void rebase(const std::string& path);
  void merge(const Config& over);
  bool vacant() const;
  void learn(std::string_view key);
  void collect_unread(std::vector<std::string>& out) const;
  std::string location() const;
  std::string describe() const;
  [[noreturn]] void fail_missing(std::string_view path);
  std::string block_yaml(int indent) const;
  std::string flow_yaml() const;
  bool flows() const;

  Kind kind_ = Kind::map;
  bool quoted_ = false;     // a quoted scalar is a string and nothing else
  bool read_ = false;       // somebody took the value, or looked inside
  bool invented_ = false;   // a section made by asking for it; not there until something is recorded in it
  bool defaulted_ = false;  // a recorded default
  std::string key_, path_, text_;
  std::string source_;  // file name, or "command line"
  int line_ = 0, column_ = 0;
  std::list<Config> children_;      // a list keeps references valid while defaults are recorded
  std::vector<std::string> known_;  // keys that readers asked for
};

}  // namespace retort
