// autograd/ops/attention.cpp -- attention(q, k, v) = softmax(scale q k' + mask) v, streamed over keys.
#include <cmath>

#include "autograd/ops/create.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
DType compute_dtype(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

/// [B, H, T, D] in memory as [B, T, H, D] when `like` is arranged so (a transposed view of a projection), else
/// row-major: merging heads after attention is then a view.
Strides arranged_like(const Tensor& like, const Shape& shape) {
  if (like.strides()[1] >= like.strides()[2] || like.size(1) == 1) return contiguous_strides(shape);
  Strides s = contiguous_strides({shape[0], shape[2], shape[1], shape[3]});
  std::swap(s[1], s[2]);
  return s;
}

void check(const InferCall& call) {
  for (std::size_t i = 0; i < 3; ++i) {
    infer::require_float(call, i);
    infer::require_rank(call, i, 4);
  }
  infer::require_same_dtype(call, 0, 3);
  const Tensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &mask = call.in[3];
  const bool heads_fit = k.size(1) == v.size(1) && (k.size(1) > 0 ? q.size(1) % k.size(1) == 0 : q.size(1) == 0);
  if (q.size(0) != k.size(0) || q.size(0) != v.size(0) || q.size(3) != k.size(3) || k.size(2) != v.size(2) ||
      !heads_fit)
    throw ShapeError(
        "attention: wants q [B, H, T, D], k [B, Hk, S, D], v [B, Hk, S, Dv], H a multiple of Hk; got {}, {} and {}",
        q.str(), k.str(), v.str());
  if (q.size(3) == 0 || v.size(3) == 0)
    throw ShapeError("attention: heads must have a width; got {} and {}", q.str(), v.str());
  if (!mask.defined()) return;
  const Shape scores{q.size(0), q.size(1), q.size(2), k.size(2)};
  if (!(broadcast_shapes(scores, mask.shape(), "attention") == scores))
    throw ShapeError("attention: the mask must broadcast to {}; got {}", scores.str(), mask.str());
  if (mask.dtype() != DType::boolean && mask.dtype() != q.dtype() && mask.dtype() != compute_dtype(q.dtype()))
    throw DTypeError("attention: a mask is bool, or additive in q's dtype or f32; got {} for q {}", mask.str(),
                     q.str());
}

struct Attention : Fused<Attention> {
  static constexpr std::string_view name = "attention";
  static constexpr int aux = 1;  // log sum exp of every query's scores
  static void infer(InferCall& call) {
    check(call);
    const Tensor& q = call.in[0];
    const Shape out{q.size(0), q.size(1), q.size(2), call.in[2].size(3)};
    call.output(out, q.dtype(), arranged_like(q, out));
    call.output({q.size(0), q.size(1), q.size(2)}, compute_dtype(q.dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs);
  static void backward(VjpCall& c);
};

/// Scores with everything that is not visible at -infinity, as [B, Hk, H / Hk, T, S].
Tensor visible_scores(Tensor scores, const Tensor& mask, const AttentionAttrs& a) {
  const std::int64_t queries = scores.size(3), keys = scores.size(4), shift = keys - queries;
  const Tensor hidden = scalar_like(scores, -INFINITY);
  if (mask.defined()) {
    const std::int64_t heads = scores.size(1) * scores.size(2);
    const Tensor m = reshape(broadcast_to(mask, {scores.size(0), heads, queries, keys}), scores.shape());
    scores = mask.dtype() == DType::boolean ? where(m, scores, hidden) : scores + cast(m, scores.dtype());
  }
  if (a.causal) scores = where(tril_mask(queries, keys, shift, scores.device()), scores, hidden);
  if (a.window > 0) {
    scores = where(triu_mask(queries, keys, shift - a.window + 1, scores.device()), scores, hidden);
    scores = where(tril_mask(queries, keys, shift + a.window - 1, scores.device()), scores, hidden);
  }
  return scores;
}

/// softmax of the visible scores in the compute dtype, [B, Hk, H / Hk, T, S].
Tensor grouped_weights(const Tensor& q, const Tensor& k, const Tensor& mask, const AttentionAttrs& a) {
  const DType wide = compute_dtype(q.dtype());
  const std::int64_t batch = q.size(0), kv = k.size(1), group = kv > 0 ? q.size(1) / kv : 0;
  const Tensor grouped = reshape(cast(q, wide), {batch, kv, group, q.size(2), q.size(3)});
  const Tensor keys = reshape(cast(k, wide), {batch, kv, 1, k.size(2), k.size(3)});
  return softmax(visible_scores(matmul(grouped, keys, false, true) * a.scale, mask, a), -1);
}

Tensors Attention::decompose(std::span<const Tensor> in, const AttrBox& attrs) {
  const Tensor &q = in[0], &k = in[1], &v = in[2];
  const Tensor weights = grouped_weights(q, k, in[3], attrs.as<AttentionAttrs>());
  const Tensor values = reshape(cast(v, weights.dtype()), {v.size(0), v.size(1), 1, v.size(2), v.size(3)});
  return {cast(reshape(matmul(weights, values), {q.size(0), q.size(1), q.size(2), v.size(3)}), q.dtype())};
}

struct AttentionBackward : FusedBackward<AttentionBackward, Attention> {
  static constexpr std::string_view name = "attention_backward";
  static constexpr int outputs = 3, extra = 2;  // log-sums and the output
  static std::uint32_t inputs() { return 7; }
  static void infer(InferCall& call) {
    for (std::size_t i = 0; i < 3; ++i)
      call.output(call.in[i].shape(), call.in[i].dtype(), arranged_like(call.in[i], call.in[i].shape()));
    const DType dtype = call.in[0].dtype(), wide = compute_dtype(dtype);
    call.scratch((call.in[4].numel() + (dtype == wide ? 0 : call.in[0].numel())) * size_of(wide));
  }
};

void Attention::backward(VjpCall& c) {
  if (c.wants[3]) {  // a learned bias: its gradient is as large as the scores, so they may as well be formed
    const auto f = [&c](std::span<const Tensor> in) { return decompose(in, c.attrs); };
    const Tensors g = pull_back(f, c.in, c.cot.first(1), c.wants);
    for (std::size_t i = 0; i < g.size(); ++i) c.grad[i] = g[i];
    return;
  }
  const Tensor in[] = {c.in[0], c.in[1], c.in[2], c.in[3], c.out[1], c.out[0], c.cot[0]};
  Tensor out[3];
  apply(op_of<AttentionBackward>(), in, c.attrs, out);
  for (std::size_t i = 0; i < 3; ++i)
    if (c.wants[i]) c.grad[i] = out[i];
}

REGISTER_OP(Attention);
REGISTER_OP(AttentionBackward);
}  // namespace

namespace {
AttentionAttrs attrs_of(const Tensor& q, const AttentionOptions& options) {
  if (options.window < 0) throw ValueError("attention: a window is positive, or 0 for none; got {}", options.window);
  const double width = q.rank() == 4 ? static_cast<double>(q.size(3)) : 1.0;
  return {options.scale.value_or(1.0 / std::sqrt(std::max(width, 1.0))), options.causal, options.window};
}
}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  return apply_with<Attention>(AttrBox::of(attrs_of(q, options)), q, k, v, options.mask);
}

Tensor attention_weights(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  if (q.rank() != 4 || k.rank() != 4 || q.size(0) != k.size(0) || q.size(3) != k.size(3) || k.size(1) == 0 ||
      q.size(1) % k.size(1) != 0)
    throw ShapeError("attention_weights: wants q [B, H, T, D], k [B, Hk, S, D], H a multiple of Hk; got {} and {}",
                     q.str(), k.str());
  const Tensor weights = grouped_weights(q, k, options.mask, attrs_of(q, options));
  return reshape(weights, {q.size(0), q.size(1), q.size(2), k.size(2)});
}

}  // namespace retort
