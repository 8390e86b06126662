// nn/layers/rotary.h -- rotary positions as configurations have them: a base, the part of a head that turns, and rates
// rescaled for longer texts than a model was first trained on.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace retort {

/// How the rates of the pairs were changed. linear: all divided by `factor` (Chen et al. 2023). llama3: divided where a
/// turn takes more than `original` / low positions, kept where it takes fewer than original / high, between the two in
/// between. yarn: divided where `original` positions make fewer than `slow` turns, kept above `fast`, a ramp over the
/// pairs between (both ends of which become whole pairs if `truncate`), and scores multiplied by `attention`^2 (Peng et
/// al. 2023).
enum class RotaryScaling : std::uint8_t { none, linear, llama3, yarn };

struct RotaryConfig {
  double base = 0;         ///< 0: nothing turns
  std::int64_t width = 0;  ///< features of a head that turn; 0: all
  RotaryScaling scaling = RotaryScaling::none;
  double factor = 1;
  double original = 0;         ///< positions of the first training
  double low = 1, high = 4;    ///< llama3
  double slow = 1, fast = 32;  ///< yarn
  double attention = 1;        ///< yarn
  bool truncate = true;        ///< yarn

  /// "" without scaling, else "linear(factor=4)", "llama3(factor=8 low=1 high=4 original=8192)", "yarn(..)".
  std::string scaling_text() const;
};

/// The angle of each pair at position 1, for heads of `head_width` features: f64 [width / 2]. Throws ConfigError for an
/// odd width or one beyond the head, and for scalings whose numbers make no sense.
std::vector<double> rotary_rates(const RotaryConfig& config, std::int64_t head_width);

}  // namespace retort
