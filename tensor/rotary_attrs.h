// tensor/rotary_attrs.h -- attributes of rotary embedding, with rates of the caller's.
#pragma once
#include <cmath>
#include <vector>

#include "tensor/attrs.h"

namespace retort {

/// As RotaryAttrs, but where there are `rates`, pair i turns by t rates[i], and only the first 2 rates.size() features
/// turn: half of those pairs with the other half.
struct RotaryRates : RotaryAttrs {
  std::vector<double> rates = {};
};

/// The angle of each pair that turns at position 1, of rows of n features: as given, or powers of the base.
inline std::vector<double> rates_of(const RotaryRates& attrs, std::int64_t n) {
  if (!attrs.rates.empty()) return attrs.rates;
  std::vector<double> rates;
  for (std::int64_t i = 0; i < n / 2; ++i)
    rates.push_back(std::pow(attrs.base, -2.0 * static_cast<double>(i) / static_cast<double>(n)));
  return rates;
}

}  // namespace retort
