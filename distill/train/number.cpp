// distill/train/number.cpp -- numbers from and to text by std::from_chars and std::to_chars.
#include "distill/train/number.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tensor/error.h"

namespace retort {
namespace {

// The number that the whole text spells; std::from_chars alone takes a prefix, and words such as "nan".
template <class T>
std::optional<T> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || !(digits[0] == '.' || (digits[0] >= '0' && digits[0] <= '9'))) return std::nullopt;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

template <class T>
std::optional<T> parse_real(std::string_view text) {
  if (text == ".inf" || text == "+.inf") return std::numeric_limits<T>::infinity();
  if (text == "-.inf") return -std::numeric_limits<T>::infinity();
  return parse_number<T>(text);
}

template <class T>
std::optional<T> parse_integer(std::string_view text) {
  const std::size_t first = text.find_first_not_of("+-");
  if (first != text.npos && text[first] == '0' && first + 1 < text.size() && text[first + 1] != '.') {
    return std::nullopt;
  }
  if (const auto value = parse_number<T>(text)) return value;
  constexpr double exact = 9007199254740992.;  // 2^53
  const auto real = parse_number<double>(text);
  if (!real || *real != std::trunc(*real) || std::abs(*real) > exact) return std::nullopt;
  if (*real < 0 ? !std::is_signed_v<T> || *real < static_cast<double>(std::numeric_limits<T>::min())
                : *real > static_cast<double>(std::numeric_limits<T>::max())) {
    return std::nullopt;
  }
  return static_cast<T>(*real);
}

template <class T>
std::string format_number(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isinf(value)) return value < 0 ? "-.inf" : ".inf";
    if (std::isnan(value)) throw ValueError("format_number: a NaN is not a setting");
  }
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end);
}

template std::optional<float> parse_real<float>(std::string_view);
template std::optional<double> parse_real<double>(std::string_view);
template std::optional<int> parse_integer<int>(std::string_view);
template std::optional<std::int64_t> parse_integer<std::int64_t>(std::string_view);
template std::optional<std::uint64_t> parse_integer<std::uint64_t>(std::string_view);
template std::string format_number<int>(int);
template std::string format_number<std::int64_t>(std::int64_t);
template std::string format_number<std::uint64_t>(std::uint64_t);
template std::string format_number<float>(float);
template std::string format_number<double>(double);

}  // namespace retort
