// distill/objectives/tables/preferences.h -- table `fn` of the term Preference: losses of pairs and of lists of scored
// responses.
#pragma once
#include "distill/objectives/tables/entries.h"

namespace retort {

/// Scores S [n] of responses, live, and R [n] of the reference (zeros without one), in a batch where rows 2i and 2i + 1
/// are a chosen and a rejected response, or where rows with one `group` answer one prompt.
struct Scored {
  Tensor score, reference;
  const Batch& batch;
  Clock clock;
};
struct PreferenceFunction {
  std::string formula;
  bool lists = false;  ///< units are groups instead of pairs
  Scope scope = Scope::sample;
  /// Per pair [n / 2], or per group, in the order in which groups appear.
  std::function<Tensor(const Scored&)> value;
};

/// h = beta [(S_w - R_w) - (S_l - R_l)]:
///   dpo(beta eps=0)       -(1 - eps) log sigmoid(h) - eps log sigmoid(-h): Rafailov et al. 2023; eps: labels wrong so
///                         often (conservative DPO)
///   robust(beta eps)      [-(1 - eps) log sigmoid(h) + eps log sigmoid(-h)] / (1 - 2 eps): unbiased under such labels
///   ipo(beta)             (h / beta - 1 / (2 beta))^2: Azar et al. 2023
///   hinge(beta)           relu(1 - h): SLiC
///   simpo(beta gamma)     -log sigmoid(beta (S_w - S_l) - gamma), of mean scores: Meng et al. 2024
///   kto_pair(beta)        1 - sigmoid(beta (r_w - KL_l)) + 1 - sigmoid(beta (KL_w - r_l)), r = S - R, KL the batch's
///   mean
///                         of r, at least 0, constant: Ethayarajh et al. 2024
///   redi(alpha gamma=0)   -S_w + alpha e^(gamma S_l) S_l, the factor constant, of mean scores: Xu et al. 2025
///   adpo(tau of=reward|chosen scale=.5)   KL(q || softmax_k((S_k - R_k) / tau)) over a group, q = softmax(A / scale)
///   of
///                         rewards standardised in the group, or the first row alone: Wang 2025
/// Throws ConfigError naming the nearest.
PreferenceFunction make_preference_function(const Call& call, const NumberMap& numbers);

}  // namespace retort
