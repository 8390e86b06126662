#include "distill/train/frechet.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
constexpr double kRounding = 1e-12;  // of an eigenvalue, as a share of `scale`

/// The roots of the eigenvalues of a positive matrix of trace about `scale`; those of rounding below 0 are 0.
std::vector<double> rooted(const Tensor& values, double scale) {
  std::vector<double> roots = values.values();
  for (double& v : roots) {
    if (!(v >= -kRounding * scale) || !std::isfinite(v))
      throw NumericError("frechet: a covariance is not positive; got the eigenvalue {} of a matrix of trace {}", v,
                         scale);
    v = v > 0 ? std::sqrt(v) : 0;
  }
  return roots;
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum;
}

double trace(const Tensor& m) {
  const std::vector<double> values = m.values();
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(m.size(0)) + 1) sum += values[i];
  return sum;
}
}  // namespace

void FeatureMoments::add(const Tensor& features) {
  if (features.rank() != 2 || (count_ > 0 && features.size(1) != mean_.size(0)))
    throw ShapeError("frechet: expected features [n, {}]; got {}", count_ > 0 ? mean_.size(0) : 0, features.str());
  const std::int64_t n = features.size(0);
  if (n == 0) return;
  const Tensor f = cast(features, DType::f64), own = retort::mean(f, {0}), centred = f - own;
  const Tensor scatter = matmul(centred, centred, true, false);
  if (count_ == 0) {
    mean_ = own;
    scatter_ = scatter;
  } else {  // Chan, Golub and LeVeque 1979
    const Tensor apart = own - mean_;
    const double share = static_cast<double>(n) / static_cast<double>(count_ + n);
    scatter_ = scatter_ + scatter + unsqueeze(apart, 1) * unsqueeze(apart, 0) * (share * static_cast<double>(count_));
    mean_ = mean_ + apart * share;
  }
  count_ += n;
}

Tensor FeatureMoments::covariance() const {
  if (count_ < 2) throw ValueError("frechet: a covariance needs at least two vectors; got {}", count_);
  return scatter_ / static_cast<double>(count_ - 1);
}

double frechet_distance(const Tensor& mean1, const Tensor& covariance1, const Tensor& mean2,
                        const Tensor& covariance2) {
  const Shape square{mean1.size(0), mean1.size(0)};
  if (mean1.shape() != mean2.shape() || covariance1.shape() != square || covariance2.shape() != square)
    throw ShapeError("frechet: means and covariances do not fit; got {}, {} and {}, {}", mean1.str(), covariance1.str(),
                     mean2.str(), covariance2.str());
  const auto [values, vectors] = eigh(covariance1);
  const double all1 = trace(covariance1), all2 = trace(covariance2);
  rooted(eigvalsh(covariance2), all2);
  const Tensor roots = Tensor::from(rooted(values, all1), mean1.shape(), DType::f64);
  const Tensor root = matmul(vectors * roots, vectors, false, true);
  const Tensor product = matmul(matmul(root, covariance2), root);
  const double shared = total(rooted(eigvalsh(product), all1 * all2));
  const Tensor apart = mean1 - mean2;
  return sum(apart * apart).item() + all1 + all2 - 2 * shared;
}

double frechet_distance(const FeatureMoments& a, const FeatureMoments& b) {
  return frechet_distance(a.mean(), a.covariance(), b.mean(), b.covariance());
}

}  // namespace retort
