// autograd/ops/linalg.h -- matrix products, linear systems and decompositions over the last two axes.
// All but the products take f32 or f64 and are computed on the host in f64, matrix by matrix; they throw DTypeError for
// other dtypes, ShapeError, and NumericError naming the matrix of the batch. Derivatives of every order, reverse and
// forward.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// op(a) op(b) over the last two axes, [.., m, k] x [.., k, n] -> [.., m, n], where op transposes when its flag is set;
/// leading axes broadcast. Float dtypes; 16-bit inputs accumulate in f32. Throws ShapeError, DTypeError.
Tensor matmul(const Tensor& a, const Tensor& b, bool transpose_a = false, bool transpose_b = false);

/// x w^T + bias: x [.., in], w [out, in], bias [out] or undefined -> [.., out]; one product with the bias in its start.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {});

/// The last two axes swapped, [.., m, n] -> [.., n, m]; a view.
Tensor matrix_transpose(const Tensor& x);
/// The lower (or upper) triangle of x [.., m, n], zeros elsewhere, the diagonal multiplied by `diagonal`.
Tensor triangle(const Tensor& x, bool upper = false, double diagonal = 1);

/// The lower triangular L [.., n, n] with positive diagonal and L L^T = (a + a^T) / 2: only the symmetric part of a
/// counts, and gradients are symmetric. Throws NumericError naming the pivot when that is not positive definite.
/// Derivatives: Murray 2016, "Differentiation of the Cholesky decomposition".
Tensor cholesky(const Tensor& a);

/// x [.., n, k] with op(a) x = b, where only one triangle of a [.., n, n] is read and op transposes when asked to.
/// Leading axes broadcast. Throws NumericError when the diagonal holds a zero, a NaN or an infinity.
Tensor triangular_solve(const Tensor& a, const Tensor& b, bool upper = false, bool transpose = false);

/// x [.., n, k] with a x = b, a [.., n, n], b [.., n, k], by LU with partial pivoting. Leading axes broadcast.
/// Throws NumericError when a pivot is zero or not finite.
Tensor solve(const Tensor& a, const Tensor& b);
/// a^-1 [.., n, n], as solve(a, identity).
Tensor inverse(const Tensor& a);

/// a = q r with q [.., m, n] of orthonormal columns and r [.., n, n] upper triangular with a diagonal >= 0, for
/// a [.., m, n], m >= n. That sign makes it unique when a has full column rank; without it derivatives throw
/// NumericError. Reverse rule: Walter and Lehmann 2018, "Algorithmic differentiation of linear algebra functions".
struct Qr {
  Tensor q, r;
};
Qr qr(const Tensor& a);

/// a = u diag(s) vh with u [.., m, k], s [.., k] descending, vh [.., k, n], k = min(m, n). Signs of the vectors are
/// arbitrary, so only functions that do not depend on them have a meaningful gradient. Derivatives need values that
/// differ by more than k eps max(s), else NumericError; for m != n also values above 0. svdvals has no such condition.
/// Rules: Giles 2008; Wan and Zhang 2019, "Automatic differentiation for complex valued SVD".
struct Svd {
  Tensor u, s, vh;
};
Svd svd(const Tensor& a);
/// The singular values alone [.., k], descending. First derivatives also where values coincide, for functions that are
/// symmetric in them; second ones as svd.
Tensor svdvals(const Tensor& a);

/// (a + a^T) / 2 = vectors diag(values) vectors^T for a [.., n, n]: values [.., n] ascending, vectors [.., n, n] in
/// columns. Only the symmetric part of a counts; signs of the vectors are arbitrary. Derivatives need values that
/// differ by more than n eps max |value|, else NumericError. eigvalsh has no such condition. Rules: Giles 2008.
struct Eigh {
  Tensor values, vectors;
};
Eigh eigh(const Tensor& a);
/// The eigenvalues alone [.., n], ascending; derivatives as svdvals.
Tensor eigvalsh(const Tensor& a);

/// y_ij = x_ij / (s_j^p - s_i^p) off the diagonal and 0 on it, x [.., k, k], s [.., k], p = `power` 1 or 2: what the
/// rules of eigh and svd divide by. Throws NumericError where |s_j - s_i| <= k eps max |s|.
Tensor divide_by_gaps(const Tensor& x, const Tensor& s, int power = 1);

}  // namespace retort
