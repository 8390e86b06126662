// nn/optim/schedule.h -- numbers that change over a run (learning rates, loss weights): pure functions of the step.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

namespace retort {

/// The value at step s of `total` (steps count from 0). The first w steps warm up linearly, value(s) = base
/// (s + 1) / (w + 1); after them, with t = (s - w) / (total - w) in [0, 1]:
///   constant   base
///   linear     base (1 - (1 - floor) t)
///   cosine     base (floor + (1 - floor) (1 + cos(pi t)) / 2)            (Loshchilov and Hutter 2017)
///   step       base gamma^(number of milestones m with s >= m)
///   one_cycle  from start base up to base over the warmup, then down to floor base, both along half a cosine
///              (Smith and Topin 2018); its value at 0 is start base
/// so that `base` is reached at s = w, and `floor` (a fraction of base) at s = total, after the last step.
struct Schedule {
  enum class Kind : std::uint8_t { constant, linear, cosine, step, one_cycle };
  Kind kind = Kind::constant;
  double base = 1;
  double floor = 0;
  double warmup = 0;                    ///< steps; a number below 1 is a fraction of `total`
  std::vector<double> milestones = {};  ///< steps, or fractions of `total` below 1
  double gamma = 0.1;
  double start = 0.04;

  /// Throws ValueError when total < 1 or the warmup is negative or longer than the run.
  double operator()(std::int64_t step, std::int64_t total) const;
};

/// "cosine" -> Kind::cosine; throws ConfigError naming the known ones.
Schedule::Kind schedule_kind(std::string_view name);

}  // namespace retort
