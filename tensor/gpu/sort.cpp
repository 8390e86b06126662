// tensor/gpu/sort.cpp -- sort and top_k along any axis on GPUs.
#include "cuda_kernels/sort.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// out: values, places.
void in_order(const Call& call) {
  const auto& attrs = call.attrs.as<SortAttrs>();
  const Tensor& x = call.in[0];
  const kernels::Type type = on_gpu::training(call, x);
  if (call.out[0].numel() == 0) return;
  const Tensor rows = on_gpu::dense_rows(call, x, attrs.axis);
  const std::int64_t columns = rows.shape().back();
  const Tensor entries = Tensor::empty({2 * rows.numel()}, DType::i64, x.device());
  const on_gpu::Result values(call, call.out[0], attrs.axis), places(call, call.out[1], attrs.axis);
  kernels::sort(
      {type, on_gpu::address(rows), values.data(), reinterpret_cast<std::int64_t*>(places.data()),
       rows.numel() / columns, columns, attrs.count, attrs.descending, on_gpu::address_of<std::uint64_t>(entries)},
      call.stream);
  values.finish();
  places.finish();
}
}  // namespace

RETORT_GPU_KERNEL(sort) { in_order(call); }
RETORT_GPU_KERNEL(top_k) { in_order(call); }

}  // namespace retort
