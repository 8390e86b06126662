// nn/layers/conditions.h -- how denoisers read times and class labels.
#pragma once
#include "nn/layers/linear.h"

namespace retort {

/// t [n] -> [n, width], the features cos(t f_i) and sin(t f_i), i < width / 2, with f_i falling geometrically from 1 to
/// 1 / 10000 (Vaswani et al. 2017). Computed in f64 for f64 times, else in f32.
struct SinusoidOptions {
  bool sine_first = false;  ///< [sin | cos] instead of [cos | sin]
  bool endpoint = false;    ///< the last f is 1 / 10000, else the one after the last would be
};
Tensor sinusoids(const Tensor& t, std::int64_t width, const SinusoidOptions& options = {});

/// A time as a vector: down(silu(up(sinusoids(t)))), t [n] -> [n, width] in `dtype`. `zero_start`: the vector is zero
/// until it is trained, so that a copied teacher answers as before.
struct TimeEmbed : Module {
  static constexpr std::int64_t kFeatures = 256;
  Linear up, down;
  TimeEmbed(std::int64_t width, bool zero_start);
  Tensor operator()(const Tensor& t, DType dtype, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Labels as i64 [n] in [0, classes]: absent ones are all `classes`, the null class, and in training each becomes it
/// with probability `drop` (classifier-free guidance, Ho and Salimans 2021). Which ones is keyed by ctx.rng, path,
/// step and global sample, as in Dropout. Throws ConfigError when labels are given and there are no classes.
struct ClassLabels : Module {
  std::int64_t classes;
  double drop;
  ClassLabels(std::int64_t class_count, double drop_probability);
  Tensor operator()(const Tensor& label, std::int64_t n, Device device, Ctx& ctx) const;
  void visit(Visitor&) override {}
};

}  // namespace retort
