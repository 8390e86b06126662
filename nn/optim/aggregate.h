// nn/optim/aggregate.h -- Jacobian descent: weights for the gradients of several losses, from their Gram matrix.
//
// The rows g_1, .., g_k of J are the gradients of k losses, G = J J^T; the update descends along d = J^T w = sum w_i
// g_i. A rule that only needs G costs k inner products per row and one weighted sum. The formulas are those of the
// papers; every rule but `sum` and `pcgrad` is 1/k each for gradients that are equal and, with unit norms, do not
// conflict.
#pragma once
#include <vector>

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace retort {

/// A symmetric k x k matrix in f64.
class Gram {
 public:
  explicit Gram(int size) : size_(size), values_(static_cast<std::size_t>(size * size)) {}
  /// Row by row; throws ShapeError unless there are size^2 values.
  Gram(int size, std::vector<double> values);
  int size() const { return size_; }
  double& operator()(int i, int j) { return values_[static_cast<std::size_t>(i * size_ + j)]; }
  double operator()(int i, int j) const { return values_[static_cast<std::size_t>(i * size_ + j)]; }
  double trace() const;
  /// w^T G w: the squared norm of J^T w.
  double quadratic(const std::vector<double>& w) const;
  std::vector<double> times(const std::vector<double>& w) const;

 private:
  int size_;
  std::vector<double> values_;
};

/// Inner products of the rows, each a list of gradients (all lists parallel), summed in f64 in a fixed order.
Gram gram_matrix(const std::vector<std::vector<Tensor>>& rows);

using LossWeights = std::vector<double>;

/// 1 each.
LossWeights sum_weights(const Gram& g);
/// w on the simplex with the shortest J^T w: the multiple-gradient descent algorithm (Desideri 2012, Sener and Koltun
/// 2018). Where it is not zero, every loss falls at the same rate, g_i . d = |d|^2 for all i with w_i > 0.
LossWeights min_norm_weights(const Gram& g);
/// The mean gradient's projection on the cone {d: J d >= 0} where no loss rises (Lopez-Paz and Ranzato 2017, DualProj).
LossWeights dualproj_weights(const Gram& g);
/// UPGrad (Quinton and Rey 2024): the mean over i of the projections of g_i on that cone.
LossWeights upgrad_weights(const Gram& g);
/// PCGrad (Yu et al. 2020): from each gradient the parts that oppose the others are taken away, one after the other in
/// an order that `key` draws anew for every gradient; the results are added.
LossWeights pcgrad_weights(const Gram& g, const RngKey& key);
/// CAGrad (Liu et al. 2021): the d within c |g_0| of the mean gradient g_0 whose worst loss falls fastest. Throws
/// ValueError unless c >= 0.
LossWeights cagrad_weights(const Gram& g, double c);
/// Nash-MTL (Navon et al. 2022): G w = 1 / w with w > 0, the Nash bargaining solution.
LossWeights nash_weights(const Gram& g);
/// Aligned-MTL (Senushkin et al. 2023): sqrt(l_min) V L^-1/2 V^T 1/k with G = V L V^T; the rows are turned and scaled
/// to be orthogonal and equally long. Eigenvalues that are zero to rounding take no part.
LossWeights aligned_weights(const Gram& g);
/// IMTL-G (Liu et al. 2021b): d has the same projection on every unit gradient; sum w = 1.
LossWeights imtl_weights(const Gram& g);

/// The x >= 0 (with sum x = 1 when `simplex`) that minimises x^T H x / 2 + b^T x, exactly but for rounding, by a primal
/// active-set method. H is positive semidefinite, of a size up to a few hundred; where the minimum is not unique the
/// one of a minutely ridged H is given. Throws NumericError when an entry is not finite.
std::vector<double> quadratic_minimum(const Gram& h, const std::vector<double>& b, bool simplex);

}  // namespace retort
