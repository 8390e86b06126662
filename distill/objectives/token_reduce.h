// distill/objectives/token_reduce.h -- how values of tokens become one sum, and what counts as a unit.
#pragma once
#include "distill/text/token_batch.h"
#include "distill/train/config.h"

namespace retort {

/// `reduce` of Token and Policy terms: sum/token; tokmean/sequence, the mean over each response's tokens; sum/sequence;
/// wmean/sequence, sum w D / sum w over each response; tokmean/weight, responses weighted by the batch's `weight` [n],
/// whose sum is the number of units; sum/const(n), every response as if it had n tokens.
struct TokenReduce {
  enum class Kind : std::uint8_t { token, sequence_mean, sequence_sum, weighted_mean, sequence_weighted, constant };
  Kind kind = Kind::token;
  double length = 1;  ///< of a response, for `constant`

  /// Known from the mask alone. On meta every position may count.
  double units(const Batch& batch) const;
  /// The sum over units of values [N], with detached weights [N] where defined.
  Tensor total(const Tensor& value, const Tensor& weight, const Batch& batch, const TokenPlaces& places) const;
};
/// Throws ConfigError naming the nearest.
TokenReduce parse_token_reduce(Config& term);

}  // namespace retort
