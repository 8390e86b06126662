// cuda_kernels/sinkhorn.cuh -- bodies of entropic transport: a block for each potential.
#pragma once
#include "cuda_kernels/rows.cuh"
#include "cuda_kernels/sinkhorn.h"

namespace retort::kernels::RETORT_BACKEND {

/// Steps in a batch of matrices of one whose lines are fitted: rows, or columns.
struct LineSteps {
  std::int64_t lines, length, line, element;
};

/// Block b: own_i = log weight_i - log sum_j e^(other_j - cost_ij / epsilon) of line i. `other` absent: 0.
RETORT_KERNEL void fit_potentials(In<float> cost, In<float> weights, In<float> other, Out<float> own, LineSteps at_line,
                                  float scale) {
  RETORT_SHARED(float, partial, kRowWarps);
  const std::int64_t i = block_index().x % at_line.lines, batch = block_index().x / at_line.lines;
  const std::int64_t start = batch * at_line.lines * at_line.length + i * at_line.line;
  const auto log_mass = [&](std::int64_t j) {
    const float potential = other ? static_cast<float>(other[batch * at_line.length + j]) : 0.0f;
    return cost[start + j * at_line.element] * scale + potential;
  };
  const float top = row_max(at_line.length, partial, log_mass);
  const float total = row_sum(at_line.length, partial, [&](std::int64_t j) { return exp_fast(log_mass(j) - top); });
  if (thread_index().x == 0)
    own[block_index().x] = log_fast(static_cast<float>(weights[block_index().x])) - (top + log_fast(total));
}

RETORT_KERNEL void transport_plan(In<float> cost, In<float> f, In<float> g, Out<float> plan, std::int64_t rows,
                                  std::int64_t columns, float scale, std::int64_t elements) {
  const std::int64_t e = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (e >= elements) return;
  const std::int64_t line = e / columns, batch = line / rows;
  plan[e] = exp_fast(cost[e] * scale + f[line] + g[batch * columns + e % columns]);
}

}  // namespace retort::kernels::RETORT_BACKEND
