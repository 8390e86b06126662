// distill/train/rollout_spec.h -- how a preset and a job describe the samples of a generator.
#pragma once
#include "distill/train/config.h"
#include "distill/train/source.h"

namespace retort {

/// Parses `sources.NAME` of a preset with `kind: rollout`, and of the job:
///
///     NAME: {kind: rollout, role: R, levels: [t, ..] | random(COUNT LOW HIGH), between: renoise | ode,
///            exit: last | shared | sample, ahead: [LOW, HIGH], per_condition: 1, beside: {STATE: ROLE | SOURCE, ..},
///            cond: STATE, input: STATE, gap: STATE, through: ROLE}
///     NAME: {classes: n, conditions: {given: LABEL, ..}}
///
/// `sources` are those that may stand beside it, read before. Shape, dtype and device are the caller's. Throws
/// ConfigError at the key that is wrong.
RolloutSpec parse_rollout(Config& preset, Config& job, const Roles& roles,
                          const std::map<std::string, std::unique_ptr<Source>>& sources);

}  // namespace retort
