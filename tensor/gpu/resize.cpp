// tensor/gpu/resize.cpp -- resize2d and its adjoint on GPUs, between channels-last images.
#include "cuda_kernels/resize.h"

#include <vector>

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"
#include "tensor/resample.h"

namespace retort {

namespace {
using on_gpu::Call;

/// A table on the device.
struct Taps {
  Tensor rows, weights;  ///< first, count and start of every output; weights
  kernels::ResampleAxis axis;

  Taps(const Call& call, const ResampleTable& table, std::int64_t inputs) {
    const std::int64_t n = table.size();
    std::vector<std::int64_t> first, count, start;
    std::vector<float> all;
    for (std::int64_t o = 0; o < n; ++o) {
      first.push_back(table.first(o));
      count.push_back(table.count(o));
      start.push_back(static_cast<std::int64_t>(all.size()));
      for (std::int64_t k = 0; k < table.count(o); ++k) all.push_back(static_cast<float>(table.weights(o)[k]));
    }
    first.insert(first.end(), count.begin(), count.end());
    first.insert(first.end(), start.begin(), start.end());
    rows = on_gpu::uploaded(call, std::span<const std::int64_t>(first));
    weights = on_gpu::uploaded(call, std::span<const float>(all));
    const auto* const p = on_gpu::address_of<std::int64_t>(rows);
    axis = {n, inputs, p, p + n, p + 2 * n, on_gpu::address_of<float>(weights)};
  }
};

void resample(const Call& call, const ResampleTable& rows, const ResampleTable& columns) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const kernels::Type type = on_gpu::training(call, x);
  if (y.numel() == 0) return;
  const Shape& s = x.shape();
  const Taps row_taps(call, rows, s[2]), column_taps(call, columns, s[3]);
  kernels::resize({type, on_gpu::address(x), on_gpu::address(y), s[0], s[1], row_taps.axis, column_taps.axis},
                  call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(resize2d) {
  const auto& a = call.attrs.as<Resize2dAttrs>();
  resample(call, resample_table(a, a.in_h, a.out_h), resample_table(a, a.in_w, a.out_w));
}

RETORT_GPU_KERNEL(resize2d_grad) {
  const auto& a = call.attrs.as<Resize2dAttrs>();
  resample(call, resample_table(a, a.in_h, a.out_h).transposed(a.in_h),
           resample_table(a, a.in_w, a.out_w).transposed(a.in_w));
}

}  // namespace retort
