// tensor/resample.h -- the weights with which an axis of an image is resized: a sparse matrix of contiguous rows.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/attrs.h"

namespace retort {

/// Output o is the sum of weights(o)[k] x input[first(o) + k] over k < count(o).
class ResampleTable {
 public:
  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }
  std::int64_t first(std::int64_t o) const { return rows_[static_cast<std::size_t>(o)].first; }
  std::int64_t count(std::int64_t o) const { return rows_[static_cast<std::size_t>(o)].count; }
  const double* weights(std::int64_t o) const { return weights_.data() + rows_[static_cast<std::size_t>(o)].at; }

  /// Appends the row of the next output. Weights of zero at the ends are left out.
  void add_row(std::int64_t first, const std::vector<double>& weights);
  /// The adjoint map, to `inputs` inputs.
  ResampleTable transposed(std::int64_t inputs) const;

 private:
  struct Row {
    std::int64_t first, count;
    std::size_t at;
  };
  std::vector<Row> rows_;
  std::vector<double> weights_;
};

/// The weights that resize an axis from `in` to `out` pixels, both positive; see resize2d in autograd/ops/image.h.
ResampleTable resample_table(const Resize2dAttrs& attrs, std::int64_t in, std::int64_t out);

}  // namespace retort
