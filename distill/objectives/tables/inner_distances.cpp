// distill/objectives/tables/inner_distances.cpp -- how lists of statistics are compared.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/objectives/inner.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// The sum of one value for each pair.
template <class F>
InnerDistance summed(F of_pair) {
  return [of_pair](const InnerPairs& pairs) {
    Tensor total;
    for (const InnerPair& p : pairs) {
      const Tensor value = of_pair(p.syn, p.target);
      total = total.defined() ? total + value : value;
    }
    return total;
  };
}

/// sum over rows of 1 - cos, a row being what leads to one output (Zhao, Mopuri, Bilen 2021; their 1e-6 beside the
/// product of the norms). Rows of zeros count 1.
Tensor row_cos(const Tensor& a, const Tensor& b) {
  const Shape rows{a.size(0), -1};
  const Tensor u = reshape(a, rows), v = reshape(b, rows);
  const Tensor norms = sqrt(maximum(sum(square(u), {1}) * sum(square(v), {1}), 1e-30));
  return sum(1.0 - sum(u * v, {1}) / (norms + 1e-6));
}

Tensor squared(const Tensor& a, const Tensor& b) { return sum(square(a - b)); }

/// ||theta - goal||^2 / ||start - goal||^2 over all tensors at once.
Tensor normalised_sq(const InnerPairs& pairs) {
  Tensor left, whole;
  for (const InnerPair& p : pairs) {
    const Tensor l = squared(p.syn, p.target), w = squared(p.start, p.target);
    left = left.defined() ? left + l : l;
    whole = whole.defined() ? whole + w : w;
  }
  return left / whole;
}

/// The mean of min(top1 - top2, limit).
Tensor mean_margin(const Tensor& a, double limit) {
  const Tensor top = top_k(a, 2).values;
  return mean(minimum(slice(top, 1, 0, 1) - slice(top, 1, 1, 2), limit));
}

/// Half the mean square, less the mean of min(top1 - top2, 1/K) of the predictions (the label term of Zhou et al.
/// 2022).
Tensor margin_mse(const Tensor& a, const Tensor& b) {
  return mean(square(a - b)) * 0.5 - mean_margin(a, 1 / static_cast<double>(a.size(1)));
}

/// mean_t sqrt(a (|A| - |B|)^2 + p 2 (|A| |B| - Re A Re B - Im A Im B)) of characteristic values [2, t]; with a = p the
/// root of a |A - B|^2 (Wang et al. 2025; the floor of their code keeps the gradient finite at equality).
Tensor characteristic_distance(const Tensor& a, const Tensor& b, double amplitude, double phase) {
  const Tensor size_a = sqrt(maximum(sum(square(a), {0}), 1e-24)), size_b = sqrt(maximum(sum(square(b), {0}), 1e-24));
  const Tensor turned = maximum((size_a * size_b - sum(a * b, {0})) * 2.0, 1e-12);
  return mean(sqrt(square(size_a - size_b) * amplitude + turned * phase));
}
}  // namespace

InnerDistance make_inner_distance(const Call& call, const NumberMap& numbers) {
  using Entry = InnerDistance (*)(TableArgs&);
  static const std::map<std::string, Entry, std::less<>> entries{
      {"row_cos", [](TableArgs&) { return summed(row_cos); }},
      {"l1", [](TableArgs&) { return summed([](const Tensor& a, const Tensor& b) { return sum(abs(a - b)); }); }},
      {"sq", [](TableArgs&) { return summed(squared); }},
      {"mse", [](TableArgs&) { return summed([](const Tensor& a, const Tensor& b) { return mean(square(a - b)); }); }},
      {"half_mse",
       [](TableArgs&) { return summed([](const Tensor& a, const Tensor& b) { return mean(square(a - b)) * 0.5; }); }},
      // The root of 0 has no derivative; below this floor the norm is flat.
      {"norm",
       [](TableArgs&) {
         return summed([](const Tensor& a, const Tensor& b) { return sqrt(maximum(squared(a, b), 1e-24)); });
       }},
      {"ce",
       [](TableArgs&) {
         return summed([](const Tensor& a, const Tensor& b) { return mean(soft_cross_entropy(a, b)); });
       }},
      {"dot", [](TableArgs&) { return summed([](const Tensor& a, const Tensor& b) { return sum(a * b); }); }},
      {"ce_margin",
       [](TableArgs& args) {
         const double scale = args.number("scale", 1.0, {.above = 0}), margin = args.number("margin", 0.5);
         return summed([=](const Tensor& a, const Tensor& b) {
           return mean(soft_cross_entropy(a * scale, b)) - mean_margin(a, margin / static_cast<double>(a.size(1)));
         });
       }},
      {"margin_mse", [](TableArgs&) { return summed(margin_mse); }},
      {"normalised_sq", [](TableArgs&) { return InnerDistance(normalised_sq); }},
      {"ncf", [](TableArgs& args) {
         const double amplitude = args.number("amplitude", 0.5), phase = args.number("phase", 0.5);
         return summed(
             [=](const Tensor& a, const Tensor& b) { return characteristic_distance(a, b, amplitude, phase); });
       }}};
  TableArgs args(with_numbers(call, numbers), numbers);
  InnerDistance distance = lookup(entries, call, "distance")(args);
  args.done();
  return distance;
}

}  // namespace retort
