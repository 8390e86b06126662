// distill/train/terms.h -- terms by their `kind`.
#pragma once
#include "distill/objectives/term.h"
#include "distill/train/config.h"

namespace retort {

/// The term that `terms.NAME` of a preset describes (kind: match, direction, scalar or flowmap); `schedule` is that of
/// its noisy states, null when no role has one. Throws ConfigError at the key that is wrong.
std::unique_ptr<Term> make_term(const std::string& name, Config& node, const NumberMap& numbers,
                                const NoiseSchedule* schedule);

}  // namespace retort
