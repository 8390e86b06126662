// distill/train/frechet.h -- the Frechet distance between two sets of samples, by mean and covariance of features.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// Mean and covariance of feature vectors, gathered batch by batch in f64.
class FeatureMoments {
 public:
  /// features [n, d] of any float dtype, d the same in all batches. Throws ShapeError.
  void add(const Tensor& features);
  std::int64_t count() const { return count_; }
  const Tensor& mean() const { return mean_; }  ///< f64 [d]
  /// f64 [d, d], unbiased. Throws ValueError for fewer than two vectors.
  Tensor covariance() const;

 private:
  std::int64_t count_ = 0;
  Tensor mean_, scatter_;  ///< scatter: sum of (f - mean)(f - mean)'
};

/// |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), the squared 2-Wasserstein distance of two Gaussians (Dowson and Landau
/// 1982; Heusel et al. 2017). The root's trace is that of (C1^(1/2) C2 C1^(1/2))^(1/2), from symmetric
/// eigen-decompositions in f64. Means [d], covariances [d, d]. Throws NumericError for a covariance with an eigenvalue
/// below 0 by more than rounding, or that is not finite; ShapeError.
double frechet_distance(const Tensor& mean1, const Tensor& covariance1, const Tensor& mean2, const Tensor& covariance2);
double frechet_distance(const FeatureMoments& a, const FeatureMoments& b);

}  // namespace retort
