// tensor/rotary_attrs.h -- attributes of rotary embedding, with rates of the caller's.
#pragma once
#include <vector>

#include "tensor/attrs.h"

namespace retort {

/// As RotaryAttrs, but where there are `rates`, pair i turns by t rates[i], and only the first 2 rates.size() features
/// turn: half of those pairs with the other half.
struct RotaryRates : RotaryAttrs {
  std::vector<double> rates = {};
};

}  // namespace retort
