// autograd/ops/distance.cpp -- pairwise distances in three metrics, and nearest neighbours from them.
#include "autograd/ops/distance.h"

#include <algorithm>

#include "autograd/level.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/pairwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"

namespace retort {

namespace {
Shape batch_of(const Tensor& t) { return Shape(std::span(t.shape().begin(), t.shape().end() - 2)); }
Tensor with_batch(const Tensor& t, Shape batch) {
  batch.push_back(t.size(-2));
  batch.push_back(t.size(-1));
  return broadcast_to(t, batch);
}
/// The root with derivative 0 at 0.
Tensor safe_root(const Tensor& squares) {
  const Tensor zero = scalar_like(squares, 0.0), positive = less(zero, squares);
  return where(positive, sqrt(where(positive, squares, scalar_like(squares, 1.0))), zero);
}
}  // namespace

Tensor pairwise_distance(const Tensor& a, const Tensor& b, Metric metric) {
  if (a.rank() < 2 || b.rank() < 2 || a.size(-1) != b.size(-1))
    throw ShapeError("pairwise_distance: needs points [.., n, d] and [.., m, d]; got {} and {}", a.str(), b.str());
  if (a.dtype() == b.dtype() && is_float(a.dtype()) && size_of(a.dtype()) == 2)
    return cast(pairwise_distance(cast(a, DType::f32), cast(b, DType::f32), metric), a.dtype());
  const Shape batch = broadcast_shapes(batch_of(a), batch_of(b), "pairwise_distance");
  const Tensor x = with_batch(a, batch), y = with_batch(b, batch);
  if (metric == Metric::l1) return l1_distance(x, y);
  const Tensor squares = squared_distance(x, y);
  return metric == Metric::l2 ? safe_root(squares) : squares;
}

Neighbours k_nearest(const Tensor& queries, const Tensor& points, std::int64_t k, Metric metric) {
  if (queries.rank() != 2 || points.rank() != 2 || queries.size(1) != points.size(1))
    throw ShapeError("k_nearest: needs queries [n, d] and points [m, d]; got {} and {}", queries.str(), points.str());
  const std::int64_t n = queries.size(0), m = points.size(0);
  if (k < 1 || k > m) throw ValueError("k_nearest: k must lie between 1 and the {} points; got {}", m, k);
  constexpr std::int64_t kHeld = std::int64_t{1} << 22;
  const std::int64_t rows = std::max<std::int64_t>(1, kHeld / m);
  const Tensor fixed = stop_gradient(queries), targets = stop_gradient(points);
  // The order of squares is the order of distances.
  const Metric selecting = metric == Metric::l2 ? Metric::squared_l2 : metric;
  std::vector<Tensor> found;
  for (std::int64_t begin = 0; begin < std::max<std::int64_t>(n, 1); begin += rows) {
    const Tensor some = slice(fixed, 0, begin, std::min(n, begin + rows));
    found.push_back(top_k(pairwise_distance(some, targets, selecting), k, 1, false).indices);
  }
  const Tensor indices = found.size() == 1 ? found[0] : concat(found, 0);
  // Distances again from the pairs found: these carry the derivatives.
  const Tensor pair = index_select(points, 0, indices) - unsqueeze(queries, 1);
  if (metric == Metric::l1) return {sum(abs(pair), {-1}), indices};
  const Tensor squares = sum(square(pair), {-1});
  return {metric == Metric::l2 ? safe_root(squares) : squares, indices};
}

}  // namespace retort
