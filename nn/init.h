// nn/init.h -- how parameters get their first values: a pure function of (seed, parameter name).
#pragma once
#include <cmath>
#include <numbers>

#include "tensor/rng.h"
#include "tensor/shape.h"

namespace retort {

class Module;

/// Inputs that one output sees, and outputs that one input reaches, for a weight [out, in, kernel...]: in * kernel and
/// out * kernel elements. A grouped convolution's weight has in / groups in its second axis, so fan.in is per group.
/// Weights of rank 1 and embeddings' tables have no fans; a rank below 2 throws ShapeError.
struct Fans {
  double in, out;
};
Fans fans_of(const Shape& weight);

/// The law of a parameter's first values: part of the parameter, applied by `initialize`.
struct Init {
  enum class Law : std::uint8_t { constant, normal, uniform, truncated_normal };
  Law law = Law::constant;
  double scale = 0;  ///< the constant; the standard deviation; half the width of [-scale, scale)

  static Init constant(double value) { return {Law::constant, value}; }
  static Init normal(double std) { return {Law::normal, std}; }
  static Init uniform(double bound) { return {Law::uniform, bound}; }
  /// A normal of deviation `std` whose draws beyond 2 std are drawn again (the result's deviation is 0.88 std).
  static Init truncated_normal(double std) { return {Law::truncated_normal, std}; }

  /// He et al. 2015: deviation gain / sqrt(fan.in). Gain sqrt(2) keeps the variance under ReLU, 1 without activation.
  static Init he_normal(const Shape& weight, double gain = std::numbers::sqrt2) {
    return normal(gain / std::sqrt(fans_of(weight).in));
  }
  static Init he_uniform(const Shape& weight, double gain = std::numbers::sqrt2) {
    return uniform(gain * std::sqrt(3 / fans_of(weight).in));
  }
  /// Glorot and Bengio 2010: deviation gain * sqrt(2 / (fan.in + fan.out)).
  static Init xavier_normal(const Shape& weight, double gain = 1) {
    const Fans fan = fans_of(weight);
    return normal(gain * std::sqrt(2 / (fan.in + fan.out)));
  }
  static Init xavier_uniform(const Shape& weight, double gain = 1) {
    const Fans fan = fans_of(weight);
    return uniform(gain * std::sqrt(6 / (fan.in + fan.out)));
  }
};

/// Fills every parameter of `m` by its `init` from the stream "init/<parameter name>" of `rng`, element by element in
/// logical row-major order: the values do not depend on construction order, memory layout or other parameters, and an
/// f64 master holds the draws of the f32 one. Shadows follow. Buffers keep the values they were built with.
void initialize(Module& m, const Rng& rng);

}  // namespace retort
