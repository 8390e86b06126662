// distill/train/spread.h -- mean and deviation of what several seeds gave.
#pragma once
#include <span>

namespace retort {

/// In the units of the values. The deviation divides by n - 1; 0 for one value.
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread_of(std::span<const double> values);

}  // namespace retort
