// distill/train/number.h -- numbers as job files spell them, in both directions and without loss.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace retort {

/// The number that the whole text spells, or nothing: `1`, `-.5`, `1e-3`, `.inf`. T: float or double.
template <class T>
std::optional<T> parse_real(std::string_view text);

/// The integer that the whole text spells, if it fits T (int, int64, uint64). `1e5` and `5.0` are integers as long as a
/// double holds them exactly; `010` is none, being eight to some YAML readers and ten to others.
template <class T>
std::optional<T> parse_integer(std::string_view text);

/// The shortest text that reads back to the same bits; infinities as `.inf`. Throws ValueError for NaN.
template <class T>
std::string format_number(T value);

}  // namespace retort
