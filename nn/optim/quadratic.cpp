// nn/optim/quadratic.cpp -- small convex quadratic programs by a primal active-set method.
#include <algorithm>
#include <cmath>

#include "nn/optim/aggregate.h"
#include "tensor/error.h"

namespace retort {

namespace {
using Row = std::vector<double>;

/// Solves a x = b by Gaussian elimination with partial pivoting; a is regular (the ridge sees to that).
Row solve_linear(std::vector<Row> a, Row b) {
  const std::size_t n = b.size();
  for (std::size_t c = 0; c < n; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c + 1; r < n; ++r)
      if (std::abs(a[r][c]) > std::abs(a[pivot][c])) pivot = r;
    std::swap(a[c], a[pivot]);
    std::swap(b[c], b[pivot]);
    for (std::size_t r = c + 1; r < n; ++r) {
      const double f = a[r][c] / a[c][c];
      for (std::size_t k = c; k < n; ++k) a[r][k] -= f * a[c][k];
      b[r] -= f * b[c];
    }
  }
  for (std::size_t c = n; c-- > 0;) {
    for (std::size_t k = c + 1; k < n; ++k) b[c] -= a[c][k] * b[k];
    b[c] /= a[c][c];
  }
  return b;
}

class ActiveSet {
 public:
  ActiveSet(const Gram& h, const Row& b, bool simplex)
      : h_(h), b_(b), simplex_(simplex), x_(b.size(), 0.0), free_(b.size(), false) {
    scale_ = 0;
    for (int i = 0; i < h.size(); ++i) scale_ = std::max({scale_, h(i, i), std::abs(b[static_cast<std::size_t>(i)])});
    for (int i = 0; i < h.size(); ++i) h_(i, i) += kRidge * scale_;
    if (simplex) start_at_best_vertex();
  }

  Row minimum() {
    if (scale_ == 0) return simplex_ ? Row(x_.size(), 1 / static_cast<double>(x_.size())) : x_;
    for (std::size_t pass = 0; pass < 100 * x_.size(); ++pass) {
      const Row y = minimum_of_free();
      if (std::any_of(y.begin(), y.end(), [](double v) { return v < 0; })) {
        step_to_boundary(y);
        continue;
      }
      x_ = y;
      if (!release_one()) return x_;
    }
    throw NumericError("quadratic_minimum: no end after {} passes over {} unknowns", 100 * x_.size(), x_.size());
  }

 private:
  static constexpr double kRidge = 1e-12, kTolerance = 1e-13;

  void start_at_best_vertex() {
    std::size_t best = 0;
    const auto value = [&](std::size_t i) { return h_(static_cast<int>(i), static_cast<int>(i)) / 2 + b_[i]; };
    for (std::size_t i = 1; i < x_.size(); ++i)
      if (value(i) < value(best)) best = i;
    x_[best] = 1;
    free_[best] = true;
  }

  /// The minimum over the free unknowns, the others zero, signs ignored: H_ff y - mu 1 = -b_f, 1^T y = 1. Sets mu_.
  Row minimum_of_free() {
    std::vector<int> f;
    for (std::size_t i = 0; i < free_.size(); ++i)
      if (free_[i]) f.push_back(static_cast<int>(i));
    const std::size_t n = f.size(), rows = n + (simplex_ ? 1 : 0);
    std::vector<Row> a(rows, Row(rows, 0.0));
    Row rhs(rows, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
      // Divided by the scale, so that the border of ones has the size of the rest.
      for (std::size_t j = 0; j < n; ++j) a[i][j] = h_(f[i], f[j]) / scale_;
      rhs[i] = -b_[static_cast<std::size_t>(f[i])] / scale_;
      if (simplex_) a[i][n] = -(a[n][i] = 1);
    }
    if (simplex_) rhs[n] = 1;
    const Row solution = solve_linear(a, rhs);
    mu_ = simplex_ ? solution[n] * scale_ : 0;
    Row y(x_.size(), 0.0);
    for (std::size_t i = 0; i < n; ++i) y[static_cast<std::size_t>(f[i])] = solution[i];
    return y;
  }

  /// Goes from x towards y until the first unknown is zero, and fixes it there.
  void step_to_boundary(const Row& y) {
    double share = 1;
    std::size_t first = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (!free_[i] || y[i] >= 0) continue;
      const double s = x_[i] / (x_[i] - y[i]);
      if (s <= share) {
        share = s;
        first = i;
      }
    }
    for (std::size_t i = 0; i < y.size(); ++i) x_[i] += share * (y[i] - x_[i]);
    x_[first] = 0;
    free_[first] = false;
  }

  /// Frees the fixed unknown along which the value falls fastest; false when there is none: x is the minimum.
  bool release_one() {
    const Row slope = h_.times(x_);
    double steepest = -kTolerance * scale_;
    std::ptrdiff_t best = -1;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      const double s = slope[i] + b_[i] - mu_;
      if (free_[i] || s >= steepest) continue;
      steepest = s;
      best = static_cast<std::ptrdiff_t>(i);
    }
    if (best < 0) return false;
    free_[static_cast<std::size_t>(best)] = true;
    return true;
  }

  Gram h_;
  const Row& b_;
  bool simplex_;
  double scale_ = 0, mu_ = 0;
  Row x_;
  std::vector<bool> free_;
};
}  // namespace

std::vector<double> quadratic_minimum(const Gram& h, const std::vector<double>& b, bool simplex) {
  if (static_cast<std::size_t>(h.size()) != b.size() || b.empty())
    throw ShapeError("quadratic_minimum: a matrix of size {} and {} numbers", h.size(), b.size());
  for (int i = 0; i < h.size(); ++i)
    for (int j = 0; j < h.size(); ++j)
      if (!std::isfinite(h(i, j)) || !std::isfinite(b[static_cast<std::size_t>(i)]))
        throw NumericError("quadratic_minimum: an entry of row {} is not finite", i);
  return ActiveSet(h, b, simplex).minimum();
}

}  // namespace retort
