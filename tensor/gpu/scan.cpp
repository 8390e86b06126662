// tensor/gpu/scan.cpp -- scans along any axis on GPUs.
#include "cuda_kernels/scan.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// `x` of the call is scanned, `a` (may be undefined) the factors of a recurrence.
void scan(const Call& call, kernels::ScanKind kind, const Tensor& x, const Tensor& a) {
  const auto& attrs = call.attrs.as<ScanAttrs>();
  const kernels::Type type = on_gpu::training(call, x);
  if (x.numel() == 0) return;
  const Tensor rows = on_gpu::dense_rows(call, x, attrs.axis);
  const Tensor factors = a.defined() ? on_gpu::dense_rows(call, a, attrs.axis) : Tensor();
  const on_gpu::Result y(call, call.out[0], attrs.axis);
  const std::int64_t columns = rows.shape().back();
  kernels::scan({kind, type, on_gpu::address(rows), on_gpu::address(factors), y.data(), rows.numel() / columns, columns,
                 attrs.reverse, attrs.exclusive},
                call.stream);
  y.finish();
}
}  // namespace

RETORT_GPU_KERNEL(cumsum) { scan(call, kernels::ScanKind::sum, call.in[0], {}); }
RETORT_GPU_KERNEL(cumprod) { scan(call, kernels::ScanKind::product, call.in[0], {}); }
RETORT_GPU_KERNEL(logcumsumexp) { scan(call, kernels::ScanKind::log_sum, call.in[0], {}); }
/// in: factors, terms.
RETORT_GPU_KERNEL(linear_recurrence) { scan(call, kernels::ScanKind::recurrence, call.in[1], call.in[0]); }

}  // namespace retort
