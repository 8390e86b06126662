// distill/train/call.cpp -- a recursive-descent parser of call expressions, and the reading of their arguments.
#include "distill/train/call.h"

#include <algorithm>

#include "distill/train/nearest.h"
#include "distill/train/number.h"
#include "tensor/error.h"

namespace retort {
namespace {

constexpr int kMaxDepth = 32;  // presets nest two or three deep; the limit keeps a hostile file off the stack

class CallParser {
 public:
  CallParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Call parse() {
    skip_spaces();
    Call call = parse_expression(0);
    skip_spaces();
    if (at_ < text_.size()) fail(fmt::format("expected the end; got '{}'", text_.substr(at_)));
    return call;
  }

 private:
  Call parse_expression(int depth) {
    if (depth > kMaxDepth) fail("calls are nested too deeply");
    Call call{parse_word(), {}, where_};
    if (peek() != '(') return call;
    if (call.number()) fail("a number cannot be called");
    ++at_;
    for (skip_spaces(); peek() != ')'; skip_spaces()) {
      if (at_ == text_.size()) fail("a parenthesis is not closed");
      add_argument(call, depth);
      if (peek() != ')' && peek() != ' ' && at_ < text_.size()) fail("arguments are separated by spaces");
    }
    ++at_;
    return call;
  }

  void add_argument(Call& call, int depth) {
    Arg arg{"", parse_expression(depth + 1)};
    if (peek() == '=') {
      if (!arg.value.args.empty() || arg.value.number()) fail("the name of an argument must be a word");
      ++at_;
      arg.name = arg.value.name;
      arg.value = parse_expression(depth + 1);
    }
    for (const Arg& other : call.args) {
      if (!arg.name.empty() && other.name == arg.name) fail(fmt::format("argument '{}' is given twice", arg.name));
    }
    if (arg.name.empty() && !call.args.empty() && !call.args.back().name.empty()) {
      fail(fmt::format("positional argument '{}' follows a named one", arg.value.str()));
    }
    call.args.push_back(std::move(arg));
  }

  std::string parse_word() {
    const std::size_t first = at_;
    while (at_ < text_.size() && std::string_view(" ()=,\"'").find(text_[at_]) == std::string_view::npos) ++at_;
    if (peek() == ',') fail("arguments are separated by spaces, not commas");
    if (at_ == first)
      fail(at_ < text_.size() ? fmt::format("expected a name; got '{}'", text_[at_]) : "expected a name");
    return std::string(text_.substr(first, at_ - first));
  }

  void skip_spaces() {
    while (peek() == ' ') ++at_;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  [[noreturn]] void fail(const std::string& what) const {
    throw ConfigError("{}: '{}', column {}: {}", where_, text_, at_ + 1, what);
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<double> Call::number() const { return args.empty() ? parse_real<double>(name) : std::nullopt; }

std::string Call::str() const {
  if (args.empty()) return name;
  std::vector<std::string> parts;
  for (const Arg& arg : args) parts.push_back(arg.name.empty() ? arg.value.str() : arg.name + "=" + arg.value.str());
  return fmt::format("{}({})", name, fmt::join(parts, " "));
}

void Call::fail(const std::string& what) const { throw ConfigError("{}: {}: {}", where, str(), what); }

Call parse_call(std::string_view text, const std::string& where) { return CallParser(text, where).parse(); }

Call parse_call(Config& node) { return parse_call(node.as<std::string>(), node.where()); }

const Call* CallArgs::take(const std::string& parameter) {
  parameters_.push_back(parameter);
  for (const bool named : {true, false}) {
    for (std::size_t i = 0; i < used_.size(); ++i) {
      if (used_[i] || call_.args[i].name != (named ? parameter : "")) continue;
      used_[i] = true;
      return &call_.args[i].value;
    }
  }
  return nullptr;
}

const Call& CallArgs::require(const std::string& parameter) {
  const Call* value = take(parameter);
  if (!value) call_.fail(fmt::format("argument '{}' is missing", parameter));
  return *value;
}

Call CallArgs::call(const std::string& parameter) { return require(parameter); }

std::optional<Call> CallArgs::optional_call(const std::string& parameter) {
  const Call* value = take(parameter);
  return value ? std::optional<Call>(*value) : std::nullopt;
}

namespace {

template <class Value, class Bounds>
Value check(const Call& call, const std::string& parameter, Value value, const Bounds& bounds) {
  if (value < bounds.min) call.fail(fmt::format("'{}' must be at least {}; got {}", parameter, bounds.min, value));
  if (value > bounds.max) call.fail(fmt::format("'{}' must be at most {}; got {}", parameter, bounds.max, value));
  return value;
}

double to_number(const Call& call, const std::string& parameter, const Call& value, RealBounds bounds) {
  const auto number = value.number();
  if (!number) call.fail(fmt::format("'{}' must be a number; got '{}'", parameter, value.str()));
  if (*number <= bounds.above)
    call.fail(fmt::format("'{}' must be above {}; got {}", parameter, bounds.above, *number));
  return check(call, parameter, *number, bounds);
}

std::int64_t to_integer(const Call& call, const std::string& parameter, const Call& value, IntBounds bounds) {
  const auto number = value.args.empty() ? parse_integer<std::int64_t>(value.name) : std::nullopt;
  if (!number) call.fail(fmt::format("'{}' must be an integer; got '{}'", parameter, value.str()));
  return check(call, parameter, *number, bounds);
}

std::string to_word(const Call& call, const std::string& parameter, const Call& value) {
  if (value.number() || !value.args.empty()) {
    call.fail(fmt::format("'{}' must be a word; got '{}'", parameter, value.str()));
  }
  return value.name;
}

}  // namespace

double CallArgs::number(const std::string& parameter, RealBounds bounds) {
  return to_number(call_, parameter, require(parameter), bounds);
}

double CallArgs::number(const std::string& parameter, double fallback, RealBounds bounds) {
  const Call* value = take(parameter);
  return value ? to_number(call_, parameter, *value, bounds) : fallback;
}

std::int64_t CallArgs::integer(const std::string& parameter, IntBounds bounds) {
  return to_integer(call_, parameter, require(parameter), bounds);
}

std::int64_t CallArgs::integer(const std::string& parameter, std::int64_t fallback, IntBounds bounds) {
  const Call* value = take(parameter);
  return value ? to_integer(call_, parameter, *value, bounds) : fallback;
}

std::string CallArgs::word(const std::string& parameter) { return to_word(call_, parameter, require(parameter)); }

std::string CallArgs::word(const std::string& parameter, const std::string& fallback) {
  const Call* value = take(parameter);
  return value ? to_word(call_, parameter, *value) : fallback;
}

std::vector<Call> CallArgs::rest() {
  std::vector<Call> out;
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (used_[i] || !call_.args[i].name.empty()) continue;
    used_[i] = true;
    out.push_back(call_.args[i].value);
  }
  return out;
}

void CallArgs::done() const {
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (used_[i]) continue;
    const Arg& arg = call_.args[i];
    if (arg.name.empty()) call_.fail(fmt::format("too many arguments; '{}' is not wanted", arg.value.str()));
    const std::string nearest = nearest_name(arg.name, parameters_);
    call_.fail(fmt::format("unknown argument '{}'; {}", arg.name,
                           nearest.empty() ? "there are none" : fmt::format("the nearest is '{}'", nearest)));
  }
}

void fail_lookup(const Call& call, std::string_view what, const std::vector<std::string>& names) {
  throw ConfigError("{}: unknown {} '{}'; the nearest is '{}'; known: {}", call.where, what, call.name,
                    nearest_name(call.name, names), fmt::join(names, ", "));
}

}  // namespace retort
