// distill/text/rewards.h -- table `reward`: what a verifier says of a response; and choices among responses.
#pragma once
#include "distill/data/token_set.h"
#include "distill/train/call.h"

namespace retort {

/// A number for a response (end mark included), given what the set knows of its prompt.
using Reward = std::function<double(const TokenIds& response, const TokenRow& row, std::int64_t end)>;
/// contains: 1 if the answer occurs; exact: 1 if the last token before the end mark is the answer; overlap: the share
/// of positions that agree with the set's own response; closed: 1 if the response ends with the end mark; and
/// sum(reward reward ..). Throws ConfigError naming the nearest.
Reward make_reward(const Call& call);

/// Levenshtein distance.
std::int64_t edit_distance(const TokenIds& a, const TokenIds& b);
/// Greedy max-min: begins with the two farthest, then adds what is farthest from all that were taken; indices in
/// ascending order. `distance` n x n.
std::vector<std::size_t> diverse(const std::vector<std::vector<double>>& distance, std::size_t count);

}  // namespace retort
