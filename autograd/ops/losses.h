// autograd/ops/losses.h -- losses per unit (sample, token): [..., C] -> [...], never reduced over units; reducing and
// weighting belong to the caller. One pass over the logits; the only tensor of their size is the gradient.
//
// Logits are f32, f16 or bf16 in any mixture, or all f64; results are f32 (f64 for f64). Entries of -infinity (padded
// vocabulary) have probability 0, and 0 times -infinity is 0. Nothing is multiplied by T^2: callers who want gradients
// of one size at every temperature multiply by it. Errors: ShapeError, DTypeError, ValueError.
#pragma once
#include "tensor/attrs.h"
#include "tensor/tensor.h"

namespace retort {

/// -log softmax(logits)[label], labels i64 of logits' leading shape. With label_smoothing e the target is
/// (1 - e) onehot + e / K, spread over the K classes whose logit is above -infinity (Szegedy et al. 2016). Units whose
/// label is ignore_index have loss 0 and gradient 0; other labels outside [0, C) throw ValueError.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing = 0,
                     std::int64_t ignore_index = -1);

/// -sum_c target_c log softmax(logits)_c; target has the logits' shape and need not sum to 1. Differentiable in both.
Tensor soft_cross_entropy(const Tensor& logits, const Tensor& target);

/// What logits are divided by before the softmax. Throws ValueError unless both are positive.
struct Temperatures {
  double student = 1, teacher = 1;
};

// Divergences between s = softmax(student / T_s) and t = softmax(teacher / T_t), logits of one shape; differentiable in
// both. Equal distributions give 0 and gradient 0.

/// KL(t || s) = sum t (log t - log s): mode covering. Infinite where t > 0 = s.
Tensor kl_forward(const Tensor& student, const Tensor& teacher, Temperatures temperatures = {});
/// KL(s || t): mode seeking.
Tensor kl_reverse(const Tensor& student, const Tensor& teacher, Temperatures temperatures = {});
/// beta KL(t || M) + (1 - beta) KL(s || M) with M = beta t + (1 - beta) s (GKD, Agarwal et al. 2024), 0 < beta < 1. Its
/// limits are beta kl_forward (beta -> 0) and (1 - beta) kl_reverse (beta -> 1); the ends themselves throw ValueError.
Tensor js(const Tensor& student, const Tensor& teacher, double beta = 0.5, Temperatures temperatures = {});
/// kl_forward + kl_reverse.
Tensor jeffreys(const Tensor& student, const Tensor& teacher, Temperatures temperatures = {});
/// Total variation, 1/2 sum |t - s|; the gradient of an entry at equality is 0.
Tensor tv(const Tensor& student, const Tensor& teacher, Temperatures temperatures = {});
/// KL(t || a t + (1 - a) s) and KL(s || a s + (1 - a) t): a is the share of the first argument in the mixture
/// (DistiLLM, Ko et al. 2024), 0 < a < 1. At most -log a, also where supports differ.
Tensor skew_forward(const Tensor& student, const Tensor& teacher, double a, Temperatures temperatures = {});
Tensor skew_reverse(const Tensor& student, const Tensor& teacher, double a, Temperatures temperatures = {});

/// Any of these from its description. With top_k = k the teacher's k likeliest outcomes (ties: lower index) stay apart
/// and all others count as one: at most the full divergence, and equal to it when the tails are proportional. The
/// choice of outcomes is a constant of the gradient. Throws ShapeError unless k < C.
Tensor divergence(const DivergenceAttrs& d, const Tensor& student, const Tensor& teacher);

/// Logits that are never held: hidden [..., d] times weight [V, d] transposed, plus bias [V] when defined.
struct LinearHead {
  Tensor hidden, weight, bias = {};
};
/// divergence(d, student's logits, teacher's logits) [...] from both heads' inputs, some rows at a time: forward and
/// backward hold at most 48 MiB of logits (16 rows where that is more) whatever the number of rows, and the backward
/// computes them again. One dtype for all; 16-bit heads give f32 losses and collect the weight's gradient in f32. Only
/// forward mode and higher orders form the logits. Throws ShapeError, DTypeError, ValueError.
Tensor linear_divergence(const DivergenceAttrs& d, const LinearHead& student, const LinearHead& teacher);

}  // namespace retort
