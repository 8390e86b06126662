#include "nn/model.h"

#include <charconv>

namespace retort {

std::string widths_text(const std::vector<int>& widths) {
  return widths.empty() ? "none" : fmt::format("{}", fmt::join(widths, "x"));
}

std::vector<int> widths_from_text(std::string_view text) {
  std::vector<int> widths;
  if (text == "none") return widths;
  for (const char *at = text.data(), *const end = at + text.size();;) {
    int width = 0;
    const auto [next, error] = std::from_chars(at, end, width);
    if (error != std::errc() || width < 1 || (next != end && *next != 'x'))
      throw ConfigError("widths: positive whole numbers joined by x, or none; got {}", text);
    widths.push_back(width);
    if (next == end) return widths;
    at = next + 1;
  }
}

}  // namespace retort
