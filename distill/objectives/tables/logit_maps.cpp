// distill/objectives/tables/logit_maps.cpp -- targets made of several roles' logits: calibrated, extrapolated, gated.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
const Tensor& read(const MapInput& in, std::size_t k, const char* what) {
  if (k >= in.targets.size()) throw ConfigError("{}: it needs {} targets; got {}", what, k + 1, in.targets.size());
  return in.targets[k][0];
}

/// p^(1 / tau), renormalised: temperature scaling by which a teacher is calibrated (FIRST, Shum et al. 2024).
TargetMap make_calibrate(TableArgs& args) {
  const Weight tau = args.scheduled("tau");
  return [tau](const MapInput& in) -> Tensors { return {rows(in.targets[0][0]) / tau.at(in.clock)}; };
}

/// (1 - u) z_student + u z_teacher (TAID, Shing et al. 2025).
TargetMap make_interpolate(TableArgs& args) {
  const Weight u = args.scheduled("u");
  return [u](const MapInput& in) -> Tensors {
    const double share = u.at(in.clock);
    return {rows(in.preds.at(0)) * (1 - share) + rows(in.targets[0][0]) * share};
  };
}

Tensor beyond(const MapInput& in, const Tensor& w) {
  const Tensor a = rows(read(in, 0, "extrapolate")), b = rows(read(in, 1, "extrapolate"));
  return a + w * (a - b);
}

/// z_a + w (z_a - z_b): beyond the first target, away from the second.
TargetMap make_extrapolate(TableArgs& args) {
  const Weight w = args.scheduled("w");
  return
      [w](const MapInput& in) -> Tensors { return {beyond(in, scalar_like(rows(in.targets[0][0]), w.at(in.clock)))}; };
}

/// extrapolate by w = scale TV(p_a, p_b) + floor of each token (AlignDistil, Zhang et al. 2025).
TargetMap make_extrapolate_by_tvd(TableArgs& args) {
  const Weight scale = args.scheduled("scale"), floor = args.scheduled("floor", .001);
  return [scale, floor](const MapInput& in) -> Tensors {
    const Tensor a = rows(read(in, 0, "extrapolate_by_tvd")), b = rows(read(in, 1, "extrapolate_by_tvd"));
    return {beyond(in, unsqueeze(tv(a, b) * scale.at(in.clock) + floor.at(in.clock), 1))};
  };
}

/// beta (log p_a - log p_b), the advantage of a tuned model over its reference at every token (ADPA, Gao et al. 2025).
TargetMap make_log_ratio(TableArgs& args) {
  const Weight beta = args.scheduled("beta", 1);
  return [beta](const MapInput& in) -> Tensors {
    const auto log_prob = [&](std::size_t k) { return log_softmax(tempered(read(in, k, "log_ratio"), in.T_target)); };
    return {(log_prob(0) - log_prob(1)) * beta.at(in.clock)};
  };
}

/// Views m of one teacher: D^m = log q^m - log s, A = mean_m D^m, J = log mean_m q^m - mean_m log q^m >= 0; the target
/// is ~ exp(mean_m log q^m + lambda J), lambda = |A| / (mean_m |D^m| + eps) |A| / (|A| + J + eps): geometric where
/// views disagree, arithmetic where they agree (AVSD, 2026).
Tensors gated(const MapInput& in) {
  constexpr double kEps = 1e-8;
  const Tensor s = log_softmax(tempered(in.preds.at(0), 1));
  const double share = 1 / static_cast<double>(in.targets.size());
  Tensor geometric, arithmetic, spread;
  const auto add = [](Tensor& sum, const Tensor& t) { sum = sum.defined() ? sum + t : t; };
  for (const Tensors& view : in.targets) {
    const Tensor q = log_softmax(tempered(view[0], in.T_target));
    add(geometric, q * share);
    add(arithmetic, exp(q) * share);
    add(spread, abs(q - s) * share);
  }
  const Tensor consensus = abs(geometric - s), gain = maximum(log(arithmetic) - geometric, 0.0);
  const Tensor lambda = consensus / (spread + kEps) * (consensus / (consensus + gain + kEps));
  return {(geometric + lambda * gain) * in.T_target};
}
}  // namespace

const Table<TargetMap>& logit_maps() {
  static const Table<TargetMap> entries{
      {"calibrate", make_calibrate},     {"interpolate", make_interpolate},
      {"extrapolate", make_extrapolate}, {"extrapolate_by_tvd", make_extrapolate_by_tvd},
      {"log_ratio", make_log_ratio},     {"gated", [](TableArgs&) -> TargetMap { return gated; }},
  };
  return entries;
}

}  // namespace retort
