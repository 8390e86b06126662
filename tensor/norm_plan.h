// tensor/norm_plan.h -- how normalisations cut their sums into blocks: shared by shape functions, which ask for
// scratch, and kernels, which use it. Blocks follow from the shapes alone.
#pragma once
#include <algorithm>
#include <cstdint>

#include "tensor/shape.h"

namespace retort {

/// Gradients of layer_norm's and rms_norm's parameters: per block of rows two partial rows of length n.
struct RowNormPlan {
  std::int64_t rows, n, rows_per_block, blocks;
  RowNormPlan(std::int64_t row_count, std::int64_t length) : rows(row_count), n(length) {
    rows_per_block = std::clamp<std::int64_t>((rows + 63) / 64, 8, 1024);
    blocks = (rows + rows_per_block - 1) / rows_per_block;
  }
  std::int64_t partial_elements() const { return blocks * 2 * n; }
};

/// Statistics per channel of x [N, C, *]: `segments` parts (N for group_norm, 1 for batch_norm) of `pixels` pixels
/// each, in blocks that do not cross parts. Per block two partial sums of C channels in f64, then per part two totals
/// and four coefficients per channel.
struct ChannelNormPlan {
  std::int64_t channels, segments, pixels, pixels_per_block, blocks_per_segment;
  ChannelNormPlan(const Shape& shape, bool per_sample) : channels(shape[1]) {
    std::int64_t positions = shape[0];
    for (int a = 2; a < shape.rank(); ++a) positions *= shape[a];
    segments = per_sample ? shape[0] : 1;
    pixels = segments > 0 ? positions / segments : 0;
    pixels_per_block = std::max<std::int64_t>(1, 32 * 1024 / std::max<std::int64_t>(channels, 1));
    blocks_per_segment = (pixels + pixels_per_block - 1) / pixels_per_block;
  }
  std::int64_t blocks() const { return segments * blocks_per_segment; }
  std::int64_t scratch_doubles() const { return (2 * blocks() + 6 * segments) * channels; }
};

}  // namespace retort
