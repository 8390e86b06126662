// distill/train/config_values.cpp -- strict conversion between scalars of a Config and C++ values.
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "distill/train/config.h"
#include "distill/train/nearest.h"
#include "distill/train/number.h"
#include "tensor/error.h"

namespace retort {
namespace {

template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
constexpr const char* wanted() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_floating_point_v<T>) return "a number";
  if constexpr (std::is_unsigned_v<T>) return "a non-negative integer (64 bits)";
  return sizeof(T) == 4 ? "an integer (32 bits)" : "an integer (64 bits)";
}

template <class T>
std::optional<T> parse_scalar(const std::string& text) {
  if constexpr (std::is_same_v<T, bool>) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
  } else if constexpr (std::is_floating_point_v<T>) {
    return parse_real<T>(text);
  } else {
    return parse_integer<T>(text);
  }
}

template <class T>
std::string format_scalar(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else {
    return format_number(value);
  }
}

}  // namespace

template <class T>
T Config::as() {
  read_ = true;
  if constexpr (IsVector<T>::value) {
    if (!is_list()) fail("expected a list; got " + describe());
    T out;
    for (Config& element : children_) out.push_back(element.as<typename T::value_type>());
    return out;
  } else {
    constexpr bool text = std::is_same_v<T, std::string>;
    if (!is_scalar()) fail(fmt::format("expected {}; got {}", text ? "a text" : wanted<T>(), describe()));
    if constexpr (text) {
      return text_;
    } else {
      if (quoted_) fail(fmt::format("expected {}; got {}; remove the quotes", wanted<T>(), describe()));
      const std::optional<T> value = parse_scalar<T>(text_);
      if (!value) fail(fmt::format("expected {}; got {}", wanted<T>(), describe()));
      return *value;
    }
  }
}

template <class T>
void Config::write(const T& value) {
  children_.clear();
  invented_ = false;
  if constexpr (IsVector<T>::value) {
    kind_ = Kind::list;
    for (const auto& element : value) {
      Config& child = append(std::to_string(children_.size()));
      child.read_ = true;
      child.template write<typename T::value_type>(element);
    }
  } else {
    kind_ = Kind::scalar;
    text_ = format_scalar(value);
    quoted_ = false;
    if constexpr (std::is_same_v<T, std::string>) {
      // A text that looks like something else stays a text when it is read back.
      quoted_ = parse_real<double>(value) || value == "true" || value == "false";
    }
  }
}

template <class T>
void Config::set(std::string_view path, const T& value) {
  make(path, Walk::read).write(value);
}

template <class T>
T Config::get(std::string_view path) {
  return require(path).as<T>();
}

template <class T>
T Config::get(std::string_view path, const T& fallback) {
  Config* hit = find(path, Walk::read);
  if (!hit || hit->vacant()) {
    Config& made = make(path, Walk::read);
    made.write(fallback);
    made.defaulted_ = true;
    return fallback;
  }
  const T value = hit->as<T>();
  if (hit->defaulted_ && value != fallback) {
    throw InternalError("{}: two readers give different defaults", hit->path());
  }
  return value;
}

#define RETORT_CONFIG_TYPE(T)                            \
  template T Config::as<T>();                            \
  template T Config::get<T>(std::string_view);           \
  template T Config::get<T>(std::string_view, const T&); \
  template void Config::set<T>(std::string_view, const T&);
#define RETORT_CONFIG_TYPES(T) RETORT_CONFIG_TYPE(T) RETORT_CONFIG_TYPE(std::vector<T>)
RETORT_CONFIG_TYPES(int)
RETORT_CONFIG_TYPES(std::int64_t)
RETORT_CONFIG_TYPES(std::uint64_t)
RETORT_CONFIG_TYPES(float)
RETORT_CONFIG_TYPES(double)
RETORT_CONFIG_TYPES(std::string)
RETORT_CONFIG_TYPE(bool)
RETORT_CONFIG_TYPE(std::vector<std::vector<std::int64_t>>)
RETORT_CONFIG_TYPE(std::vector<std::vector<double>>)

namespace {
void check(const Config& node, std::int64_t value, IntBounds bounds) {
  if (value < bounds.min) node.fail(fmt::format("must be at least {}; got {}", bounds.min, value));
  if (value > bounds.max) node.fail(fmt::format("must be at most {}; got {}", bounds.max, value));
}
void check(const Config& node, double value, RealBounds bounds) {
  if (value <= bounds.above) node.fail(fmt::format("must be above {}; got {}", bounds.above, value));
  if (value < bounds.min) node.fail(fmt::format("must be at least {}; got {}", bounds.min, value));
  if (value > bounds.max) node.fail(fmt::format("must be at most {}; got {}", bounds.max, value));
}
void check(const Config& node, const std::string& value, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
  node.fail(fmt::format("must be one of {}; got '{}'; the nearest is '{}'", fmt::join(choices, ", "), value,
                        nearest_name(value, choices)));
}
}  // namespace

std::int64_t Config::get_int(std::string_view path, IntBounds bounds) {
  const auto value = get<std::int64_t>(path);
  check(child(path), value, bounds);
  return value;
}

std::int64_t Config::get_int(std::string_view path, std::int64_t fallback, IntBounds bounds) {
  const auto value = get<std::int64_t>(path, fallback);
  check(child(path), value, bounds);
  return value;
}

double Config::get_real(std::string_view path, RealBounds bounds) {
  const auto value = get<double>(path);
  check(child(path), value, bounds);
  return value;
}

double Config::get_real(std::string_view path, double fallback, RealBounds bounds) {
  const auto value = get<double>(path, fallback);
  check(child(path), value, bounds);
  return value;
}

std::string Config::get_choice(std::string_view path, const std::vector<std::string>& choices) {
  const auto value = get<std::string>(path);
  check(child(path), value, choices);
  return value;
}

std::string Config::get_choice(std::string_view path, const std::vector<std::string>& choices,
                               const std::string& fallback) {
  const auto value = get<std::string>(path, fallback);
  check(child(path), value, choices);
  return value;
}

}  // namespace retort
