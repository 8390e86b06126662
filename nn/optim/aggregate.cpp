#include "nn/optim/aggregate.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/linalg.h"
#include "nn/optim/clip.h"
#include "tensor/error.h"

namespace retort {

Gram::Gram(int size, std::vector<double> values) : size_(size), values_(std::move(values)) {
  if (values_.size() != static_cast<std::size_t>(size * size))
    throw ShapeError("gram: {} values do not fill a matrix of size {}", values_.size(), size);
}

double Gram::trace() const {
  double t = 0;
  for (int i = 0; i < size_; ++i) t += (*this)(i, i);
  return t;
}

std::vector<double> Gram::times(const std::vector<double>& w) const {
  std::vector<double> out(w.size(), 0.0);
  for (int i = 0; i < size_; ++i)
    for (int j = 0; j < size_; ++j) out[static_cast<std::size_t>(i)] += (*this)(i, j) * w[static_cast<std::size_t>(j)];
  return out;
}

double Gram::quadratic(const std::vector<double>& w) const {
  const std::vector<double> gw = times(w);
  double q = 0;
  for (std::size_t i = 0; i < w.size(); ++i) q += w[i] * gw[i];
  return std::max(q, 0.0);  // a sum of squares, but for rounding
}

Gram gram_matrix(const std::vector<std::vector<Tensor>>& rows) {
  Gram g(static_cast<int>(rows.size()));
  for (int i = 0; i < g.size(); ++i)
    for (int j = 0; j <= i; ++j) {
      const auto &a = rows[static_cast<std::size_t>(i)], &b = rows[static_cast<std::size_t>(j)];
      if (a.size() != b.size()) throw ShapeError("gram: rows of {} and {} gradients", a.size(), b.size());
      double sum = 0;
      for (std::size_t p = 0; p < a.size(); ++p) sum += inner_product(a[p], b[p]);
      g(i, j) = g(j, i) = sum;
    }
  return g;
}

namespace {
LossWeights uniform(const Gram& g) { return LossWeights(static_cast<std::size_t>(g.size()), 1.0 / g.size()); }

/// G / trace; the rules below are worked out on it, so that small losses are no special case.
Gram normalised(const Gram& g) {
  Gram n = g;
  for (int i = 0; i < g.size(); ++i)
    for (int j = 0; j < g.size(); ++j) n(i, j) /= g.trace();
  return n;
}

/// argmin v^T G v subject to v >= u: J^T v is the projection of J^T u on {d: J d >= 0}. With v = u + x, x >= 0.
LossWeights cone_projection(const Gram& g, const LossWeights& u) {
  LossWeights v = quadratic_minimum(g, g.times(u), false);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += u[i];
  return v;
}

/// G / trace + 1e-4 I: the ridge keeps the weights of nearly parallel gradients small (Quinton and Rey 2024).
Gram ridged(const Gram& g) {
  Gram n = normalised(g);
  for (int i = 0; i < n.size(); ++i) n(i, i) += 1e-4;
  return n;
}

/// f of the eigenvalues above rounding: V f(L) V^T u.
template <class F>
LossWeights spectral(const Gram& g, const LossWeights& u, F&& f) {
  const int k = g.size();
  std::vector<double> values;
  for (int i = 0; i < k; ++i)
    for (int j = 0; j < k; ++j) values.push_back(g(i, j));
  const Eigh e = eigh(Tensor::from(values, {k, k}, DType::f64));
  const std::vector<double> l = e.values.values(), v = e.vectors.values();
  const double zero = k * 1e-14 * l.back();
  const double smallest = *std::find_if(l.begin(), l.end(), [&](double x) { return x > zero; });
  LossWeights w(u.size(), 0.0);
  const auto vector = [&](std::size_t row, std::size_t column) { return v[row * u.size() + column]; };
  for (std::size_t c = 0; c < u.size(); ++c) {
    if (l[c] <= zero) continue;
    double coordinate = 0;
    for (std::size_t r = 0; r < u.size(); ++r) coordinate += vector(r, c) * u[r];
    for (std::size_t r = 0; r < u.size(); ++r) w[r] += vector(r, c) * f(l[c], smallest) * coordinate;
  }
  return w;
}
}  // namespace

LossWeights sum_weights(const Gram& g) { return LossWeights(static_cast<std::size_t>(g.size()), 1.0); }

LossWeights min_norm_weights(const Gram& g) {
  return quadratic_minimum(g, LossWeights(static_cast<std::size_t>(g.size()), 0.0), true);
}

LossWeights dualproj_weights(const Gram& g) {
  return g.trace() > 0 ? cone_projection(ridged(g), uniform(g)) : uniform(g);
}

LossWeights upgrad_weights(const Gram& g) {
  if (!(g.trace() > 0)) return uniform(g);
  const Gram n = ridged(g);
  LossWeights w(static_cast<std::size_t>(g.size()), 0.0);
  for (std::size_t i = 0; i < w.size(); ++i) {
    LossWeights one(w.size(), 0.0);
    one[i] = 1.0 / g.size();
    const LossWeights v = cone_projection(n, one);
    for (std::size_t j = 0; j < w.size(); ++j) w[j] += v[j];
  }
  return w;
}

LossWeights pcgrad_weights(const Gram& g, const RngKey& key) {
  const auto k = static_cast<std::uint64_t>(g.size());
  LossWeights total(k, 0.0);
  for (std::uint64_t i = 0; i < k; ++i) {
    // Every gradient shuffles the others by itself (Fisher and Yates).
    std::vector<std::uint64_t> order;
    for (std::uint64_t j = 0; j < k; ++j)
      if (j != i) order.push_back(j);
    for (std::uint64_t n = order.size(); n > 1; --n) std::swap(order[n - 1], order[uniform_int(key, i, n, n)]);
    LossWeights w(k, 0.0);
    w[i] = 1;
    for (const std::uint64_t j : order) {
      const double along = g.times(w)[j], norm = g(static_cast<int>(j), static_cast<int>(j));
      if (along < 0) w[j] -= along / norm;
    }
    for (std::uint64_t j = 0; j < k; ++j) total[j] += w[j];
  }
  return total;
}

LossWeights cagrad_weights(const Gram& gram, double c) {
  if (!(c >= 0)) throw ValueError("cagrad: c is not negative; got {}", c);
  LossWeights w = uniform(gram);
  if (c == 0 || !(gram.trace() > 0)) return w;
  // min over the simplex of v^T G w + r sqrt(v^T G v) with w = 1/k, r = c |g_0|. With sqrt(q) = min_l (q / l + l) / 2
  // this is a quadratic program for each l, and convex in l, whose slope has the sign of l^2 - v^T G v: bisection.
  const Gram g = normalised(gram);
  const LossWeights b = g.times(w);
  const double radius = c * std::sqrt(g.quadratic(w));
  if (radius == 0) return w;
  const auto at = [&](double l) {
    Gram h = g;
    for (int i = 0; i < h.size(); ++i)
      for (int j = 0; j < h.size(); ++j) h(i, j) *= radius / l;
    return quadratic_minimum(h, b, true);
  };
  double low = 1e-9, high = 1;  // |J^T v|^2 <= trace = 1
  for (int i = 0; i < 80 && high > low * (1 + 1e-15); ++i) {
    const double middle = std::sqrt(low * high);
    (g.quadratic(at(middle)) > middle * middle ? low : high) = middle;
  }
  const LossWeights v = at(high);
  const double length = std::sqrt(g.quadratic(v));
  if (length < 1e-8) return w;  // no direction improves every loss
  for (std::size_t i = 0; i < w.size(); ++i) w[i] += radius / length * v[i];
  return w;
}

LossWeights nash_weights(const Gram& gram) {
  // The minimum of w^T G w / 2 - sum log w_i, by damped Newton steps: self-concordant, so they cannot fail.
  if (!(gram.trace() > 0)) return uniform(gram);
  Gram g = normalised(gram);
  const auto k = static_cast<std::size_t>(g.size());
  for (int i = 0; i < g.size(); ++i) g(i, i) += 1e-10;  // losses that cannot all fall have no bargain without it
  LossWeights w(k);
  for (std::size_t i = 0; i < k; ++i) w[i] = 1 / std::sqrt(g(static_cast<int>(i), static_cast<int>(i)) * g.size());
  for (int pass = 0; pass < 200; ++pass) {
    const LossWeights gw = g.times(w);
    std::vector<double> h, slope(k);
    for (std::size_t i = 0; i < k; ++i) {
      slope[i] = 1 / w[i] - gw[i];
      for (std::size_t j = 0; j < k; ++j)
        h.push_back(g(static_cast<int>(i), static_cast<int>(j)) + (i == j ? 1 / (w[i] * w[i]) : 0.0));
    }
    const auto n = static_cast<std::int64_t>(k);
    const std::vector<double> step =
        solve(Tensor::from(h, {n, n}, DType::f64), Tensor::from(slope, {n, 1}, DType::f64)).values();
    double decrement = 0;
    for (std::size_t i = 0; i < k; ++i) decrement += step[i] * slope[i];
    const double damping = 1 / (1 + std::sqrt(std::max(decrement, 0.0)));
    for (std::size_t i = 0; i < k; ++i) w[i] += damping * step[i];
    if (decrement < 1e-26) break;
  }
  for (double& v : w) v /= std::sqrt(gram.trace());
  return w;
}

LossWeights aligned_weights(const Gram& g) {
  if (!(g.trace() > 0)) return uniform(g);
  return spectral(normalised(g), uniform(g), [](double l, double smallest) { return std::sqrt(smallest / l); });
}

LossWeights imtl_weights(const Gram& g) {
  if (!(g.trace() > 0)) return uniform(g);
  const Gram n = normalised(g);
  LossWeights norms;
  for (int i = 0; i < n.size(); ++i) norms.push_back(std::sqrt(n(i, i)));
  LossWeights w = spectral(n, norms, [](double l, double) { return 1 / l; });
  double sum = 0;
  for (const double v : w) sum += v;
  if (std::abs(sum) < 1e-12) return uniform(g);  // opposite gradients: no common direction
  for (double& v : w) v /= sum;
  return w;
}

}  // namespace retort
