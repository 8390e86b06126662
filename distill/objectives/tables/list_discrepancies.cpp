// distill/objectives/tables/list_discrepancies.cpp -- comparisons that take several signals at once, or whose sides
// differ in shape.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Discrepancy of_lists(std::string formula, std::function<Tensor(const Tensors& preds, const Tensors& targets)> f) {
  Discrepancy d;
  d.lists = true;
  d.formula = std::move(formula);
  d.value = [f = std::move(f)](const Comparison& c) { return f(c.preds, c.targets); };
  return d;
}

void expect(std::string_view entry, const Tensors& list, std::size_t n) {
  if (list.size() != n) throw ShapeError("{}: expected {} tensors on this side; got {}", entry, n, list.size());
}

Tensor wide(const Tensor& t) { return t.dtype() == DType::f64 ? t : cast(t, DType::f32); }

/// Mean squared difference of the maps and of their averages over 4 x 4, 2 x 2, 1 x 1 cells, with weights 1, 1/2, ...
/// over their sum; cells as large as the map do not count (ReviewKD, Chen et al. 2021). Summed over the list.
Discrepancy hcl(TableArgs& args) {
  std::vector<std::int64_t> sizes;
  for (const Call& size : args.rest()) sizes.push_back(static_cast<std::int64_t>(size.number().value_or(0)));
  return of_lists("sum_l w_l mse(pool_l a, pool_l b) / sum_l w_l", [sizes](const Tensors& preds,
                                                                           const Tensors& targets) {
    expect("hcl", preds, targets.size());
    Tensor total;
    for (std::size_t i = 0; i < preds.size(); ++i) {
      const auto distance = [&](const Tensor& a, const Tensor& b) { return mean(square(rows(a) - rows(b)), {1}); };
      Tensor value = distance(preds[i], targets[i]);
      double weight = 1, weights = 1;
      for (const std::int64_t n : sizes) {
        if (preds[i].rank() < 4 || n >= preds[i].size(2)) continue;
        weight /= 2;
        weights += weight;
        value = value + distance(adaptive_avg_pool2d(preds[i], n, n), adaptive_avg_pool2d(targets[i], n, n)) * weight;
      }
      value = value / weights;
      total = total.defined() ? total + value : value;
    }
    return total;
  });
}

/// mean k(s, s) + mean k(t, t) - 2 mean k(s, t) over pairs of channels of unit length, k(x, y) = (x' y)^2: the maximum
/// mean discrepancy between a student's and a teacher's channels (NST, Huang and Wang 2017). Extents agree, widths
/// need not.
Tensor mmd(const Tensors& preds, const Tensors& targets) {
  expect("mmd", preds, targets.size());
  const auto unit = [](const Tensor& t) { return unit_length(wide(reshape(t, {t.shape()[0], t.shape()[1], -1})), 2); };
  const auto kernel = [](const Tensor& a, const Tensor& b) { return mean(square(matmul(a, b, false, true)), {1, 2}); };
  Tensor total;
  for (std::size_t i = 0; i < preds.size(); ++i) {
    const Tensor s = unit(preds[i]), t = unit(targets[i]);
    const Tensor value = kernel(s, s) + kernel(t, t) - kernel(s, t) * 2.0;
    total = total.defined() ? total + value : value;
  }
  return total;
}

/// [(mean - t)^2 / var + log var] / 2, predictions (mean, var) (VID, Ahn et al. 2019).
Tensor nll_gauss(const Tensors& preds, const Tensors& targets) {
  expect("nll_gauss", preds, 2);
  expect("nll_gauss", targets, 1);
  const Tensor mean = wide(preds[0]), var = wide(preds[1]), t = wide(targets[0]);
  return sum(rows(square(mean - t) / var + log(var)) * .5, {1});
}

/// 1 - <s, e> / max(|s|, |t|), e the direction of the class mean: targets are (class mean, t) (Wang et al. 2023).
Tensor norm_and_direction(const Tensors& preds, const Tensors& targets) {
  expect("nd", preds, 1);
  expect("nd", targets, 2);
  const Tensor s = rows(preds[0]), e = unit_length(rows(targets[0]), 1), t = rows(targets[1]);
  const auto length = [](const Tensor& v) { return sqrt(maximum(sum(square(v), {1}), 1e-24)); };
  return 1.0 - sum(s * e, {1}) / maximum(length(s), length(t));
}

/// Predictions: features f [n, c, h, w], channel masks [n, m, c], position masks [n, m, h w]. With D = t - f,
/// (1 / m hw) sum_mk M_mk |M_mk D_k|^2 over channels k, plus (1 / m c) sum_mp M_mp |M_mp D_p|^2 over positions p
/// (ACAM-KD, Lan and Tian 2025).
Tensor acam(const Tensors& preds, const Tensors& targets) {
  expect("acam", preds, 3);
  expect("acam", targets, 1);
  const Shape& shape = preds[0].shape();
  const Tensor d2 = square(wide(reshape(targets[0] - preds[0], {shape[0], shape[1], -1})));
  const auto weighted = [](const Tensor& mask, const Tensor& energy) {
    return sum(mask * square(mask) * unsqueeze(energy, 1), {1, 2}) / static_cast<double>(mask.size(1));
  };
  return weighted(wide(preds[1]), sum(d2, {2})) / static_cast<double>(d2.size(2)) +
         weighted(wide(preds[2]), sum(d2, {1})) / static_cast<double>(d2.size(1));
}

/// The mean over pairs i != j of 2 M_i M_j / (|M_i|^2 + |M_j|^2), for the channel masks and for the position masks of
/// acam's predictions: 0 for disjoint masks, 1 for equal ones.
Tensor mask_dice(const Tensors& preds, const Tensors&) {
  expect("mask_dice", preds, 3);
  const auto dice = [](const Tensor& masks) {
    const Tensor m = wide(masks), overlap = matmul(m, m, false, true), size = sum(square(m), {2}, true);
    const std::int64_t n = m.size(1);
    const Tensor others = 1.0 - eye(n, m.dtype(), m.device());
    const Tensor pairs = overlap * 2.0 / (size + transpose(size, 1, 2)) * others;
    return sum(pairs, {1, 2}) / static_cast<double>(std::max<std::int64_t>(n * (n - 1), 1));
  };
  return dice(preds[1]) + dice(preds[2]);
}

/// sum_l lambda_l KL(softmax t_l || softmax s_l) of layers' scores [n, n] of queries (rows) and documents, the right
/// document on the diagonal; lambda = softmax_l(-NLL of the teacher's layer / softness), constant (LEAD, Sun et al.
/// 2023).
Discrepancy layer_kl(TableArgs& args) {
  const double softness = args.number("softness", 10, {.above = 0});
  Discrepancy d = of_lists("sum_l lambda_l KL(t_l || s_l)", [softness](const Tensors& preds, const Tensors& targets) {
    expect("layer_kl", preds, targets.size());
    Tensors losses, divergences;
    for (std::size_t l = 0; l < preds.size(); ++l) {
      const Tensor s = rows(preds[l]), t = rows(targets[l]);
      losses.push_back(mean(cross_entropy(t, arange(t.shape()[0], DType::i64, t.device()))));
      divergences.push_back(kl_forward(s, t));
    }
    const Tensor lambda = stop_gradient(softmax(neg(stack(losses, 0)) / softness, 0));
    return sum(stack(divergences, 1) * lambda, {1});
  });
  d.scope = Scope::batch;
  return d;
}
}  // namespace

const Table<Discrepancy>& list_discrepancies() {
  static const Table<Discrepancy> entries{
      {"hcl", hcl},
      {"mmd", [](TableArgs&) { return of_lists("MMD^2 of channels, k(x, y) = (x'y)^2", mmd); }},
      {"nll_gauss", [](TableArgs&) { return of_lists("[(mu - t)^2 / var + log var] / 2", nll_gauss); }},
      {"nd", [](TableArgs&) { return of_lists("1 - <s, e_y> / max(|s|, |t|)", norm_and_direction); }},
      {"acam", [](TableArgs&) { return of_lists("masked squares over channels and positions", acam); }},
      {"mask_dice", [](TableArgs&) { return of_lists("mean over pairs of masks of Dice", mask_dice); }},
      {"layer_kl", layer_kl},
  };
  return entries;
}

}  // namespace retort
