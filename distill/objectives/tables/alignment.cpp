// distill/objectives/tables/alignment.cpp -- how alike two representations are, whatever basis they are written in.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// Vectors of all samples (and tokens) as rows, centred: [n.., d] -> [m, d] in f32 or f64.
Tensor centred_vectors(const Tensor& t) {
  const Tensor v = reshape(t, {-1, t.size(-1)}), wide = v.dtype() == DType::f64 ? v : cast(v, DType::f32);
  return wide - mean(wide, {0}, true);
}

/// 1 - linear CKA of all vectors of the batch (Kornblith et al. 2019) from products of features, so of any number of
/// tokens; 1 where a representation is constant.
Discrepancy make_linear_cka(TableArgs&) {
  Discrepancy d;
  d.scope = Scope::batch;
  d.formula = "1 - |X'Y|_F^2 / (|X'X|_F |Y'Y|_F), rows of X and Y centred vectors";
  d.value = [](const Comparison& c) {
    const Tensor x = centred_vectors(c.pred), y = centred_vectors(c.target);
    const auto squares = [](const Tensor& a, const Tensor& b) { return sum(square(matmul(a, b, true, false))); };
    const Tensor norms = squares(x, x) * squares(y, y), one = scalar_like(norms, 1);
    const Tensor some = greater(norms, scalar_like(norms, 1e-24));
    const Tensor alike = squares(x, y) / sqrt(where(some, norms, one));  // no root of 0: its slope is infinite
    return reshape(1.0 - where(some, alike, scalar_like(norms, 0)), {1});
  };
  return d;
}
/// MMD^2 between the representations of two groups of samples, classes below `split` and the others, under a Gaussian
/// kernel of deviation `sigma` (Gretton et al. 2012); 0 for a batch of one group.
Discrepancy make_group_mmd(TableArgs& args) {
  const auto split = args.integer("split", {.min = 1});
  const double sigma = args.number("sigma", 1.0, {.above = 0});
  Discrepancy d;
  d.scope = Scope::batch;
  d.labels = true;
  d.formula = "w'Kw, w_i = 1/n_a or -1/n_b, K_ij = exp(-|z_i - z_j|^2 / (2 sigma^2))";
  d.value = [split, sigma](const Comparison& c) {
    const Tensor z = rows(c.pred), y = c.batch.y;
    const Tensor first = cast(less(y, scalar_like(y, static_cast<double>(split))), z.dtype()), other = 1.0 - first;
    const Tensor a = sum(first), b = sum(other), both = minimum(a, 1.0) * minimum(b, 1.0);
    const Tensor w = reshape(first / maximum(a, 1.0) - other / maximum(b, 1.0), {-1, 1});
    const Tensor length = sum(square(z), {1}, true);
    const Tensor apart = length + matrix_transpose(length) - matmul(z, z, false, true) * 2.0;
    const Tensor kernel = exp(apart * (-0.5 / (sigma * sigma)));
    return reshape(matmul(matmul(w, kernel, true, false), w) * both, {1});
  };
  return d;
}
}  // namespace

const Table<Discrepancy>& alignment_discrepancies() {
  static const Table<Discrepancy> entries{{"linear_cka", make_linear_cka}, {"group_mmd", make_group_mmd}};
  return entries;
}

}  // namespace retort
