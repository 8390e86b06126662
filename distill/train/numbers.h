// distill/train/numbers.h -- scheduled numbers of a preset: constants and ramps, pure functions of the step.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "distill/train/call.h"

namespace retort {

/// Where a phase stands when a number is asked for.
struct Clock {
  std::int64_t step = 0;   ///< optimiser steps done in this phase
  std::int64_t steps = 1;  ///< of the phase in all
  double epoch = 0;        ///< of the phase's first source
  double loop = 0;         ///< the value of the phase's `for` in this pass
  double epochs = 1;       ///< of the phase in all
};

/// A constant, or piecewise interpolation through (position, value) points; beyond the ends the end values hold.
class Number {
 public:
  Number() = default;
  /// A number that something else decides, read each time it is asked for.
  explicit Number(std::function<double()> source) : source_(std::move(source)) {}
  explicit Number(double constant) : points_{{0, constant}} {}
  /// `{ramp: [[k, v], ...], by: step|epoch|fraction|epoch_share, shape: linear|cosine|sqrt|gaussian}`, `{for: k}` (the
  /// value of the phase's `for`), or a plain number. `fraction` is the share of the phase's steps that are done,
  /// `epoch_share` that of its epochs, the running one included; `gaussian` rises as exp(-5 (1 - x)^2) (Laine and Aila
  /// 2017), from e^-5 of the way.
  static Number parse(Config& node);
  double at(const Clock& clock) const;
  /// It is 0 at every step.
  bool is_zero() const;

 private:
  double position(const Clock& clock) const;
  double shaped(double f) const;

  enum class By { step, epoch, fraction, epoch_share } by_ = By::step;
  enum class Form { linear, cosine, sqrt, gaussian } form_ = Form::linear;
  std::vector<std::pair<double, double>> points_{{0, 0}};
  std::function<double()> source_;
  bool loop_ = false;
};
using NumberMap = std::map<std::string, Number, std::less<>>;

/// The call with the values of constant numbers in place of their names among its arguments.
Call with_numbers(Call call, const NumberMap& numbers);

/// A product of literals and named numbers: `1`, `warm`, `[2, warm]`.
class Weight {
 public:
  /// Names are looked up in `numbers`; an unknown one is a ConfigError naming the nearest.
  static Weight parse(Config& node, const NumberMap& numbers);
  /// One factor: a literal, or a name.
  static Weight of(const Call& call, const NumberMap& numbers);
  Weight() = default;  ///< 1
  explicit Weight(double constant) : factors_{Number(constant)} {}
  double at(const Clock& clock) const;
  /// A factor is 0 at every step: what it weighs is only looked at.
  bool is_zero() const;

 private:
  std::vector<Number> factors_;
};

}  // namespace retort
