// distill/objectives/tables/relations.cpp -- what is done to a sample's signal before it is compared.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
Tensor standardize(const Tensor& t) {
  const Tensor z = rows(t), centred = z - mean(z, {1}, true);
  const double n = static_cast<double>(z.shape()[1] - 1);
  return centred / (sqrt(sum(square(centred), {1}, true) / n) + 1e-7);
}

Tensor normalize(const Tensor& t) { return rows(t) / sqrt(sum(square(rows(t)), {1}, true)); }

Tensor pool(const Tensor& t) { return t.rank() > 2 ? mean(reshape(t, {t.shape()[0], t.shape()[1], -1}), {2}) : t; }

/// [n, c, h, w] -> [n, c, h w], 16-bit data widened.
Tensor channels(const Tensor& t) {
  if (t.rank() != 4) throw ShapeError("relation: expected feature maps [n, c, h, w]; got {}", t.str());
  const Tensor flat = reshape(t, {t.shape()[0], t.shape()[1], -1});
  return flat.dtype() == DType::f64 ? flat : cast(flat, DType::f32);
}

/// mean_c |f_c|^p, of unit length over positions: [n, h w] (Zagoruyko and Komodakis 2017).
Relation attention_map(TableArgs& args) {
  const double p = args.number("p", 2, {.above = 0});
  return each([p](const Tensor& t) {
    const Tensor f = channels(t);
    return unit_length(mean(p == 2 ? square(f) : pow(abs(f), p), {1}), 1);
  });
}

/// f f' over channels, rows of unit length: [n, c, c] (ICKD, Liu et al. 2021).
Tensor channel_gram(const Tensor& t) {
  const Tensor f = channels(t);
  return unit_length(matmul(f, f, false, true), 2);
}

/// The flow between neighbours of a list of maps, (1 / hw) f1 f2' [n, c1, c2], the larger map pooled to the smaller
/// (FSP, Yim et al. 2017).
Tensors flow(const Tensors& maps) {
  Tensors grams;
  for (std::size_t i = 0; i + 1 < maps.size(); ++i) {
    const std::int64_t h = std::min(maps[i].size(2), maps[i + 1].size(2));
    const std::int64_t w = std::min(maps[i].size(3), maps[i + 1].size(3));
    const auto at = [&](const Tensor& t) {
      return channels(t.size(2) == h && t.size(3) == w ? t : adaptive_avg_pool2d(t, h, w));
    };
    grams.push_back(matmul(at(maps[i]), at(maps[i + 1]), false, true) / static_cast<double>(h * w));
  }
  return grams;
}

/// Queries and keys in turn, [n, heads, t, d] each, -> q k' / sqrt(d), attention before its softmax.
Tensors scores(const Tensors& list) {
  if (list.size() % 2 != 0) throw ShapeError("scores: expected taps q and k in turn; got {} tensors", list.size());
  Tensors all;
  for (std::size_t i = 0; i < list.size(); i += 2)
    all.push_back(matmul(list[i], list[i + 1], false, true) / std::sqrt(static_cast<double>(list[i].size(-1))));
  return all;
}

/// max over tokens of log(1 + relu(z)): logits [n, V] or [n, t, V] -> weights of terms [n, V] (SPLADE, Formal et al.
/// 2021).
Tensor splade(const Tensor& z) {
  const Tensor e = log1p(relu(z));
  return e.rank() == 3 ? max(e, {1}) : e;
}

/// Every token of length 1.
Tensor unit_vectors(const Tensor& t) { return t / sqrt(maximum(sum(square(t), {-1}, true), 1e-24)); }

/// Every token of mean 0 and variance 1 over its features.
Tensor layer_normed(const Tensor& t) { return layer_norm(vectors(t), {}, {}, 1e-6); }

template <Tensor (*f)(const Tensor&)>
Relation of(TableArgs&) {
  return each(f);
}

template <Tensors (*f)(const Tensors&)>
Relation of_list(TableArgs&) {
  return {f};
}
}  // namespace

const Table<Relation>& relations() {
  static const Table<Relation> entries{
      {"none", [](TableArgs&) -> Relation { return {[](const Tensors& list) { return list; }}; }},
      {"standardize", of<standardize>},
      {"normalize", of<normalize>},
      {"pool", of<pool>},
      {"token",
       [](TableArgs& args) {
         const std::int64_t i = args.integer("index", {.min = 0});
         return each([i](const Tensor& t) { return select(t, 1, i); });
       }},
      {"grid",
       [](TableArgs& args) {
         const std::int64_t n = args.integer("n", {.min = 1});
         return each([n](const Tensor& t) { return adaptive_avg_pool2d(t, n, n); });
       }},
      {"attention_map", attention_map},
      {"layer_norm", of<layer_normed>},
      {"unit", of<unit_vectors>},
      {"channel_gram", of<channel_gram>},
      {"flow", of_list<flow>},
      {"scores", of_list<scores>},
      {"splade", of<splade>},
  };
  return entries;
}

}  // namespace retort
