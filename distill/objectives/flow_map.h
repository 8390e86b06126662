// distill/objectives/flow_map.h -- the term FlowMap: what the flow's map X_{t -> s} satisfies, as a regression.
#pragma once
#include "distill/objectives/match.h"

namespace retort {

/// One prediction of a trained role against one constant target, both made by a residual.
struct FlowMapSpec {
  MatchSpec match;  ///< how they are compared
  Read pred;        ///< of the trained role: a jump, or a slope with its derivative
  /// What is compared, of the read's values and the term's states.
  std::function<std::pair<Tensor, Tensor>(const Tensors& read, const TermInput& in)> residual;
};

std::unique_ptr<Term> make_flow_map(FlowMapSpec spec);

/// Parses `terms.NAME` with `kind: flowmap`. Times t (noisier) and s come from `pair`: one law of several (`grid(50)`)
/// or a map of laws. The state z at t is `renoise(x t)` unless `points` makes it. Table `residual`:
///   endpoint    jump(z, t -> s) against `step` from z to s
///   two_point   jump(z, t -> s) against the target's jump(z_u, u -> s), z_u by `step` to the time u
///   semigroup   jump(z, t -> s) against the target's two jumps by way of the time m
///   eulerian    w against w + g: w the slope dx/dt that the role is told (t, s) for, over sigma_data; g the change of
///               its jump along the path with `velocity`, see eulerian_tangent; on flow, ve and trig
///   secant      w against w - clip((X' - X) / (t - u), limit): X where w goes from z, X' where the target goes from
///               z - (t - u) velocity in two jumps by way of m; on flow and ve (RCGM, TwinFlow)
///   lagrangian  d/ds jump(z, t -> s), through which the gradient flows, against `velocity` where the jump lands
/// Keys:
///   pred: student, target: self     roles; self is pred's; `cond` is the condition of both
///   step: data | {by, role, cond, guide, noise}   the same noise at the other time, or by a STEP of that table, or by
///               the role's own `jump`; `guide` may name a drawn number; `noise` lists states, one for each draw
///   velocity: data | {role, cond, guide}
///   space: x0 | eps | v | dxdt      what a ddim_jump is made of is compared instead of where it lands
///   finally: {role, time}           both sides are compared where this role takes them (CTM)
///   jvp: exact | difference(h), tangent: {warmup, norm: none | unit(c) | rms(c)}   of eulerian
/// then those of parse_comparison; `weight` is told t and s, of two_point t and u. Throws ConfigError at the key that
/// is wrong.
FlowMapSpec parse_flow_map(const std::string& name, Config& term, const NumberMap& numbers,
                           const NoiseSchedule* schedule);

/// d/dt jump(x_t, t -> s) along the path, times a, in the slope's own unit: w + this is the slope of a map that does
/// not depend on t. With jump = C x - S w, C = cos(t - s), S = sin(t - s) on trig and C = 1, S = t - s on flow and ve,
/// it is C^2 (v - w) - warmup C (C' x + S dw), C' = sin(t - s) or 0, dw the derivative of w along (v, 1): MeanFlow's v
/// - (t - s) dw less w, and sCM's tangent. All [n, ...] but t, s [n]; no gradient.
Tensor eulerian_tangent(const Tensor& w, const Tensor& dw, const Tensor& v, const Tensor& x, const Tensor& t,
                        const Tensor& s, const NoiseSchedule& schedule, double warmup = 1);

}  // namespace retort
