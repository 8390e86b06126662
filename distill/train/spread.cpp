#include "distill/train/spread.h"

#include <cmath>

namespace retort {

Spread spread_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  Spread s;
  for (const double v : values) s.mean += v / n;
  for (const double v : values) s.deviation += (v - s.mean) * (v - s.mean);
  s.deviation = values.size() > 1 ? std::sqrt(s.deviation / (n - 1)) : 0;
  return s;
}

}  // namespace retort
