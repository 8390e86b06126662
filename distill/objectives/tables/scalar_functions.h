// distill/objectives/tables/scalar_functions.h -- what the term Scalar makes of numbers (table `fn`), and f-divergences
// by their ratios (table `ratio`).
#pragma once
#include "distill/objectives/tables/entries.h"

namespace retort {

/// An f-divergence D_f = E_p f(r), r = q / p = teacher over student, l = log r. Its gradient in the student is E h(r)
/// (s_p - s_q) dx/dtheta with h = r^2 f''(r), as is that of E phi(l(x)) with l's own weights fixed, phi' = -h(e^l).
///   rkl -ln r (reverse KL); fkl r ln r; js r ln r - (r + 1) ln((r + 1) / 2), the GAN's, twice the Jensen-Shannon
///   divergence; softened (r + 1) ln((r + 1) / r), whose phi is the non-saturating GAN loss; hellinger 1 - sqrt(r);
///   jeffreys (r - 1) ln r; neyman (1 - r)^2 / r; pearson (1 - r)^2; skew_js(a), of the mixture a q + (1 - a) p
///   (f-distill, Xu et al. 2025, 2502.15681; skew: 2502.09609)
struct FDivergence {
  std::function<Tensor(const Tensor& r)> h;
  std::function<Tensor(const Tensor& r)> rest;  ///< h - r h'
  std::function<Tensor(const Tensor& l)> phi;
};
FDivergence make_divergence(const Call& call);

/// An entry of table `fn`: values of the reads, each [n, k] (lists side by side), to [n, k], whose sum or mean within a
/// sample the term takes. Logits are positive for real samples, or the teacher's.
///   gan_g(LOSS)          what a generator minimises at its samples' logits: logistic_ns softplus(-l), minimax
///                        -softplus(l) (Goodfellow et al. 2014), hinge and wgan -l, lsgan (l - 1)^2 / 2 (Mao et al.
///                        2017); relativistic softplus(l_real - l) takes two reads (Jolicoeur-Martineau 2018)
///   gan_fake(LOSS), gan_real(LOSS)   the discriminator's shares: logistic softplus(+-l), hinge relu(1 +- l), wgan +-l,
///                        lsgan l^2 / 2 and (l - 1)^2 / 2
///   gan_d(LOSS)          both, of two reads, fake then real; relativistic softplus(l_fake - l_real)
///   phi(F)               phi of an f-divergence at log ratios
///   neg                  -r: a reward; relu_below(a)  max(a - r, 0); half_sq  r^2 / 2 (of a slope: R1, Mescheder et
///                        al. 2018); entropy  -p log p of the softmax over k, whose sum is the entropy
/// Those of logits take clamp=c: they are limited to [-c, c] first. Throws ConfigError naming the nearest.
struct ScalarFunction {
  std::size_t reads = 1;
  std::function<Tensor(const Tensors& values, const Clock& clock)> value;
};
ScalarFunction make_scalar_function(const Call& call, const NumberMap& numbers);

}  // namespace retort
