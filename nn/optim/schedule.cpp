#include "nn/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace retort {

namespace {
double in_steps(double value, std::int64_t total) {
  return value < 1 ? std::round(value * static_cast<double>(total)) : value;
}

/// From 1 at t = 0 to 0 at t = 1 along half a cosine.
double half_cosine(double t) { return (1 + std::cos(std::numbers::pi * t)) / 2; }
}  // namespace

double Schedule::operator()(std::int64_t step, std::int64_t total) const {
  const auto end = static_cast<double>(total), s = static_cast<double>(step), w = in_steps(warmup, total);
  if (total < 1 || !(w >= 0 && w <= end))
    throw ValueError("schedule: a warmup of {} steps does not fit a run of {}", warmup, total);
  if (s < w) {
    if (kind == Kind::one_cycle) return base * (1 + (start - 1) * half_cosine(s / w));
    return base * (s + 1) / (w + 1);
  }
  const double t = end > w ? std::clamp((s - w) / (end - w), 0.0, 1.0) : 1;
  switch (kind) {
    case Kind::constant:
      return base;
    case Kind::linear:
      return base * (1 - (1 - floor) * t);
    case Kind::cosine:
    case Kind::one_cycle:
      return base * (floor + (1 - floor) * half_cosine(t));
    case Kind::step:
      break;
  }
  const auto passed = std::count_if(milestones.begin(), milestones.end(),
                                    [&](double milestone) { return s >= in_steps(milestone, total); });
  return base * std::pow(gamma, static_cast<double>(passed));
}

Schedule::Kind schedule_kind(std::string_view name) {
  using Kind = Schedule::Kind;
  constexpr std::pair<std::string_view, Kind> kinds[] = {{"constant", Kind::constant},
                                                         {"linear", Kind::linear},
                                                         {"cosine", Kind::cosine},
                                                         {"step", Kind::step},
                                                         {"one_cycle", Kind::one_cycle}};
  for (const auto& [known, kind] : kinds)
    if (known == name) return kind;
  throw ConfigError("schedule: unknown kind {}; hint: constant, linear, cosine, step or one_cycle", name);
}

}  // namespace retort
