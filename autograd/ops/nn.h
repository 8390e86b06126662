// autograd/ops/nn.h -- building blocks of networks: softmax, normalisations, dropout, rotary embedding, attention.
// Everywhere here 16-bit data is computed in f32, and f32 parameters may go with 16-bit data.
#pragma once
#include <optional>

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace retort {

/// exp(x) / sum exp(x) along `axis`, shifted by the maximum: finite for any finite logits. An entry of -infinity has
/// probability 0; a row with nothing else has no distribution and gives zeros. Throws ShapeError, DTypeError.
Tensor softmax(const Tensor& x, int axis = -1);
/// log softmax(x) along `axis`; -infinity where x is.
Tensor log_softmax(const Tensor& x, int axis = -1);

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axis, biased variance (Ba, Kiros, Hinton 2016).
/// x [..., n]; weight and bias [n], each may be absent (undefined): 1 and 0. Parameters have x's dtype, or f32 when x
/// is f16 or bf16; statistics are f32 (f64 for f64). Throws ShapeError, DTypeError.
Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);
/// x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang, Sennrich 2019). Otherwise as layer_norm.
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps = 1e-6);
/// x [N, C, *] normalised over each sample's `groups` groups of C / groups adjacent channels and all positions (Wu, He
/// 2018); weight and bias [C], each may be absent. The result is channels-last. Dtypes as for layer_norm.
Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias, double eps = 1e-5);
/// group_norm with one channel per group: every channel of every sample normalised over its positions (Ulyanov,
/// Vedaldi, Lempitsky 2016). x [N, C, *] has at least three axes.
Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);

/// Batch normalisation with the statistics of this batch (Ioffe, Szegedy 2015).
struct BatchNorm {
  Tensor out;   ///< like x, channels-last
  Tensor mean;  ///< [C], f32 (f64 for f64)
  Tensor var;   ///< [C], biased: running statistics usually keep var n / (n - 1)
};
/// x [N, C, *] normalised per channel over all samples and positions; weight and bias [C], each may be absent. All
/// three results are differentiable, so gradients flow through the statistics. Throws ShapeError when there is nothing
/// to average, DTypeError as layer_norm does.
BatchNorm batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps = 1e-5);
/// relu(batch_norm(x) + residual) with fewer passes over memory and neither sum nor normalised values kept; the
/// residual is like x and may be absent. `out` is the rectified result.
BatchNorm batch_norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                          double eps = 1e-5);
/// Batch norm with given statistics as one multiplication and one addition per element.
struct ChannelMap {
  Tensor scale, shift;  ///< [C], f32 (f64 for f64)
};
/// x -> x scale + shift, per channel, is what batch_norm_with does.
ChannelMap batch_norm_map(const Tensor& mean, const Tensor& var, const Tensor& weight, const Tensor& bias,
                          double eps = 1e-5);
/// The same map as batch_norm's with given statistics mean, var [C] (evaluation, frozen statistics).
Tensor batch_norm_with(const Tensor& x, const Tensor& mean, const Tensor& var, const Tensor& weight, const Tensor& bias,
                       double eps = 1e-5);

/// x [N, ...]: each element is 0 with probability p, else divided by 1 - p (Srivastava et al. 2014), 0 <= p < 1.
/// Element e of row i is dropped where uniform draw e of sample samples[i] under `key` is below p: the mask is a
/// function of the global sample index, so splitting a batch changes nothing, and it is drawn again for the gradient.
/// samples: i64 [N], or undefined for 0 .. N-1. p = 0 returns x itself. Throws ShapeError, ValueError.
Tensor dropout(const Tensor& x, double p, const RngKey& key, const Tensor& samples = {});

/// Which features turn together: (i, i + D/2) as in Llama and GPT-NeoX, or (2i, 2i + 1) as in the paper.
enum class RotaryPairs : std::uint8_t { half, interleaved };
/// Rotary position embedding (Su et al. 2021): pair i of x [..., T, D] at position t is turned by t base^(-2i / D).
/// positions: i64, broadcast against x's shape without D (so [T], or [B, 1, T]). Throws ShapeError, DTypeError.
Tensor rotary(const Tensor& x, const Tensor& positions, double base = 10000, RotaryPairs pairs = RotaryPairs::half);

struct AttentionOptions {
  std::optional<double> scale = {};  ///< default 1 / sqrt(D)
  bool causal = false;               ///< query i sees keys up to i + S - T: the last query stands at the last key
  std::int64_t window = 0;           ///< positive: only keys nearer than this many positions (Mistral's sliding window)
  Tensor mask = {};                  ///< broadcasts to [B, H, T, S]: bool (true: visible), or added to the scores
};
/// softmax(scale q k' + mask) v over keys: q [B, H, T, D], k [B, Hk, S, D], v [B, Hk, S, Dv] -> [B, H, T, Dv]; query
/// head h uses key head h / (H / Hk) (Ainslie et al. 2023). Scores are never stored, forward or backward, so memory is
/// linear in T and S; only the gradient of a tracked additive mask, forward mode and higher orders form them. A query
/// that sees no key gives 0 and has gradient 0. The result is stored as [B, T, H, Dv] when q is. Throws ShapeError,
/// DTypeError.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options = {});
/// The weights softmax(scale q k' + mask) that `attention` never stores: q [B, H, T, D], k [B, Hk, S, D] ->
/// [B, H, T, S], in f32 (f64 for f64). For losses on attention maps and value relations.
Tensor attention_weights(const Tensor& q, const Tensor& k, const AttentionOptions& options = {});

}  // namespace retort
