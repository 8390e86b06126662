// autograd/ops/matrix_functions.h -- the matrix exponential, and matrices with orthonormal columns. On the host in f32
// or f64; other dtypes throw DTypeError.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// e^a of a [.., n, n], by scaling, the Pade approximant of degree 13 and squaring (Higham 2005). Derivatives of every
/// order are upper right blocks of the exponential of [a, da; 0, a] (Najfeld and Havel 1995). NaN where a is not
/// finite.
Tensor matrix_exp(const Tensor& a);

/// A matrix [.., m, n] with orthonormal columns for any x [.., m, n], m >= n, of which the part below the diagonal
/// counts: minus the product of the reflections I - 2 v v^T / v^T v with v_j = e_j + x_j below the diagonal, so x = 0
/// gives the first columns of the identity. Exact to rounding wherever an optimiser moves x; reaches all such matrices
/// but a set of measure zero, up to signs of columns. 4 m n^2 operations by the compact form of the product (Schreiber
/// and Van Loan 1989). Derivatives of every order.
Tensor orthogonal(const Tensor& x);

}  // namespace retort
