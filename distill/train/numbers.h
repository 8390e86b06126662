// distill/train/numbers.h -- scheduled numbers of a preset: constants and ramps, pure functions of the step.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "distill/train/config.h"

namespace retort {

/// Where a phase stands when a number is asked for.
struct Clock {
  std::int64_t step = 0;   ///< optimiser steps done in this phase
  std::int64_t steps = 1;  ///< of the phase in all
  double epoch = 0;        ///< of the phase's first source
};

/// A constant, or piecewise interpolation through (position, value) points; beyond the ends the end values hold.
class Number {
 public:
  Number() = default;
  explicit Number(double constant) : points_{{0, constant}} {}
  /// `{ramp: [[k, v], ...], by: step|epoch|fraction, shape: linear|cosine|sqrt}`, or a plain number.
  static Number parse(Config& node);
  double at(const Clock& clock) const;

 private:
  enum class By { step, epoch, fraction } by_ = By::step;
  enum class Form { linear, cosine, sqrt } form_ = Form::linear;
  std::vector<std::pair<double, double>> points_{{0, 0}};
};

/// A product of literals and named numbers: `1`, `warm`, `[2, warm]`.
class Weight {
 public:
  /// Names are looked up in `numbers`; an unknown one is a ConfigError naming the nearest.
  static Weight parse(Config& node, const std::map<std::string, Number>& numbers);
  double at(const Clock& clock) const;

 private:
  std::vector<Number> factors_;
};

}  // namespace retort
