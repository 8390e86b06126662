// autograd/ops/determinant.h -- triangular factors and determinants of square matrices over the last two axes, on the
// host in f64, matrix by matrix. Throw DTypeError for other dtypes, ShapeError.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// Row permutation[i] of a is row i of l u: l [.., n, n] lower triangular with a unit diagonal and entries of at most 1
/// (partial pivoting), u [.., n, n] upper triangular, permutation i64 [.., n]. Derivatives of every order; they throw
/// NumericError when a is singular. Rules: Walter and Lehmann 2018.
struct Lu {
  Tensor l, u, permutation;
};
Lu lu(const Tensor& a);

/// det a [..]; 1 for n = 0. The first derivative is the matrix of cofactors, right for singular matrices too; second
/// and higher ones throw NumericError there.
Tensor det(const Tensor& a);
/// det_cofactor(a)_ij = d det a / d a_ij, without dividing by the determinant: [.., n, n].
Tensor det_cofactor(const Tensor& a);

/// det a = sign e^logabs without overflow; sign 0 and logabs -infinity when a is singular, where the derivative throws
/// NumericError. The sign has no derivative.
struct SignLogDet {
  Tensor sign, logabs;
};
SignLogDet slogdet(const Tensor& a);

}  // namespace retort
