// autograd/ops/transport.h -- optimal transport with entropy.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// How a plan is differentiated. unrolled: through every iteration, exact for any number of them, memory grows with it.
/// implicit: by the equations of the fixed point, one linear system of m unknowns; right once the iteration converged.
enum class SinkhornGradient : std::uint8_t { unrolled, implicit };
struct SinkhornOptions {
  double epsilon = 0.1;  ///< weight of the entropy, in units of the cost
  int iterations = 100;  ///< each fits the rows' marginals, then the columns'
  SinkhornGradient gradient = SinkhornGradient::unrolled;
};

/// The plan P [.., n, m] that minimises <P, cost> + epsilon sum P log P with row sums proportional to `rows` [.., n]
/// and column sums to `columns` [.., m] (undefined: uniform), both scaled to sum 1; computed on logarithms (Cuturi
/// 2013; Peyre and Cuturi 2019, section 4.4), so small epsilon does not underflow. The columns' sums are exact, the
/// rows' as good as the iteration has converged. Weights must be positive. 16-bit floats are computed in f32. Throws
/// ShapeError, DTypeError, ValueError unless epsilon > 0 and iterations >= 1.
Tensor sinkhorn(const Tensor& cost, const Tensor& rows = {}, const Tensor& columns = {},
                const SinkhornOptions& options = {});

}  // namespace retort
