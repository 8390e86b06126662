#include "distill/objectives/tables/directions.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"

namespace retort {

namespace {
/// <a, b> of each sample, [n] in f64 or f32.
Tensor inner(const Tensor& a, const Tensor& b) { return sum(rows(a) * rows(b), {1}); }
/// A quotient where the divisor >= 0 may vanish; the numerator vanishes with it.
Tensor guarded(const Tensor& a, const Tensor& b) { return a / maximum(b, 1e-12); }

Filter make_clamp(TableArgs& args) {
  return [c = args.scheduled("c")](const Tensor& g, const Clock& clock) {
    const double bound = c.at(clock);
    return clamp(g, -bound, bound);
  };
}

Filter make_unit(TableArgs&) {
  return [](const Tensor& g, const Clock&) { return g / per_sample(sqrt(inner(g, g)) + 1e-8, g); };
}

Filter make_pixel_clip(TableArgs& args) {
  return [c = args.scheduled("c")](const Tensor& g, const Clock& clock) {
    const Tensor length = maximum(sqrt(sum(square(g), {1}, true)), 1e-12);
    return g * minimum(c.at(clock) / length, 1.0);
  };
}

struct CombineEntry {
  std::size_t parts;
  Combine combine;
};

CombineEntry make_min_norm(TableArgs&) {
  return {2, [](const Tensors& parts, const Tensor&, const Clock&) {
            const Tensor &u = parts[0], &v = parts[1], apart = v - u;
            const Tensor a = per_sample(clamp(guarded(inner(apart, v), inner(apart, apart)), 0, 1), u);
            return a * u + (1.0 - a) * v;
          }};
}

CombineEntry make_steady(TableArgs& args) {
  return {3, [below = args.scheduled("below")](const Tensors& parts, const Tensor& t, const Clock& clock) {
            const Tensor &h = parts[0], &e = parts[1], &n = parts[2];
            const Tensor seeking = e - per_sample(guarded(inner(e, n), inner(n, n)), n) * n;
            const Tensor ratio = guarded(sqrt(inner(h, h)), sqrt(inner(seeking, seeking)));
            const Tensor early = per_sample(cast(less(scalar_like(t, below.at(clock)), t), h.dtype()), h);
            return early * h + (1.0 - early) * per_sample(ratio, seeking) * seeking;
          }};
}

/// Weights of draws by their rewards [n, N].
using ByReward = std::function<Tensor(const Tensor& rewards)>;

/// How many draws have a higher reward; of equal ones those that stand first count as higher.
Tensor places(const Tensor& rewards) { return argsort(argsort(rewards, 1, true), 1); }

Tensor first(const Tensor& place, std::int64_t count, DType dtype) {
  return cast(less(place, scalar_like(place, static_cast<double>(count))), dtype);
}

ByReward make_minmax(TableArgs&) {
  return [](const Tensor& rewards) {
    const std::int64_t draws = rewards.size(1), few = std::min<std::int64_t>(2, draws);
    const Tensor place = places(rewards);
    const Tensor best = first(place, few, rewards.dtype()), worst = 1.0 - first(place, draws - few, rewards.dtype());
    return (best * .9 - worst * .1) / static_cast<double>(few);
  };
}

ByReward make_best(TableArgs&) {
  return [](const Tensor& rewards) { return first(places(rewards), 1, rewards.dtype()); };
}

ByReward make_soft(TableArgs& args) {
  return [tau = args.number("tau", {.above = 0})](const Tensor& rewards) { return softmax(rewards / tau, 1); };
}

CombineEntry make_rewarded(TableArgs& args) {
  static const Table<ByReward> table{{"minmax", make_minmax}, {"best", make_best}, {"soft", make_soft}};
  const auto draws = static_cast<std::size_t>(args.integer("N", {.min = 1, .max = 1000}));
  const Call how = args.call("how");
  const NumberMap none;
  TableArgs inner_args(how, none);
  const ByReward weigh = lookup(table, how, "weight of rewards")(inner_args);
  inner_args.done();
  return {2 * draws, [draws, weigh](const Tensors& parts, const Tensor&, const Clock&) {
            Tensors rewards;
            for (std::size_t i = 0; i < draws; ++i) rewards.push_back(rows(parts[draws + i]));
            const Tensor weights = weigh(concat(rewards, 1));
            Tensor total;
            for (std::size_t i = 0; i < draws; ++i) {
              const auto at = static_cast<std::int64_t>(i);
              const Tensor share = parts[i] * per_sample(reshape(slice(weights, 1, at, at + 1), {-1}), parts[i]);
              total = total.defined() ? total + share : share;
            }
            return total;
          }};
}
}  // namespace

Filter make_filter(const Call& call, const NumberMap& numbers) {
  static const Table<Filter> table{{"clamp", make_clamp}, {"unit", make_unit}, {"pixel_clip", make_pixel_clip}};
  TableArgs args(call, numbers);
  Filter filter = lookup(table, call, "filter")(args);
  args.done();
  return filter;
}

Combine make_combine(const Call& call, const NumberMap& numbers, std::size_t parts) {
  static const Table<CombineEntry> table{
      {"min_norm", make_min_norm}, {"steady", make_steady}, {"rewarded", make_rewarded}};
  TableArgs args(call, numbers);
  const CombineEntry entry = lookup(table, call, "combine")(args);
  args.done();
  if (entry.parts != parts) call.fail(fmt::format("takes {} parts of the sum; got {}", entry.parts, parts));
  return entry.combine;
}

}  // namespace retort
