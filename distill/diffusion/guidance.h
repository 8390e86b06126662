// distill/diffusion/guidance.h -- predictions under several conditions made into one (table `guide`).
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "distill/train/call.h"
#include "tensor/tensor.h"

namespace retort {

/// Predictions [n, ...] of one state in one space (x0, eps, v or score: each of the functions is the same in all, its
/// weights adding up to 1), by the name of their condition; scales [n] or 0-d by the name of their number.
using NamedTensors = std::map<std::string, Tensor, std::less<>>;

/// null + scale (cond - null): 1 is conditional, 0 is null (Ho and Salimans 2022, whose w is scale - 1). scale [n] or
/// 0-d. "negative" guidance puts the prediction under a negative prompt in the place of null.
Tensor guide(const Tensor& null, const Tensor& cond, const Tensor& scale);
/// null + sum_j scale_j (cond_j - null).
Tensor guide_multi(const Tensor& null, std::span<const Tensor> conds, std::span<const Tensor> scales);
/// null + scale (e + sum_j w_j (e_j - <e_j, e> / max(|e|^2, 1e-6) e)), e = cond - null, e_j = negative_j - null: of
/// each negative only what is perpendicular to the condition; inner products per sample, w_j < 0 (Armandpour et al.
/// 2023).
Tensor guide_perp_neg(const Tensor& null, const Tensor& cond, std::span<const Tensor> negatives,
                      std::span<const double> weights, const Tensor& scale);
/// share guided std(cond) / std(guided) + (1 - share) guided, deviations per sample (Lin et al. 2024, 0.7 there). For
/// x0 it is MVDream's form with cond the prediction without guidance.
Tensor rescale_std(const Tensor& guided, const Tensor& cond, double share);
/// a + w (a - b).
Tensor extrapolate(const Tensor& a, const Tensor& b, const Tensor& w);

/// An entry of the table.
struct Guidance {
  std::vector<std::string> conditions;  ///< predictions that `apply` reads: a network need not be asked for others
  std::vector<std::string> numbers;     ///< scales that it reads
  std::function<Tensor(const NamedTensors& predictions, const NamedTensors& numbers)> apply;
};

/// 7.5 or kappa, the scale alone; scale(kappa cond=NAME null=NAME); multi(NAME=kappa ... ) against null;
/// negative(kappa); perp_neg(kappa NAME=weight ...); rescale_std(share guidance), over another entry; extrapolate(w a
/// b) of two named predictions. A scale is a number or the name of one. Conditions are called cond, null and negative
/// unless named. Scales of exactly 1 and 0 need one prediction only. ConfigError naming the nearest entry.
Guidance make_guidance(const Call& call);

}  // namespace retort
