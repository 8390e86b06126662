// tensor/gpu/along_axis.cpp -- gather, scatter and scatter_add on GPUs. Indices are checked on the host, which waits.
#include "cuda_kernels/along_axis.h"

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// `indexed` with `count` elements to a line of the index.
kernels::AlongAxis lines_of(const Shape& indexed, int axis, std::int64_t count) {
  kernels::AlongAxis lines{1, indexed[axis], count, 1};
  for (int a = 0; a < indexed.rank(); ++a)
    if (a != axis) (a < axis ? lines.outer : lines.inner) *= indexed[a];
  return lines;
}

int bytes_of(const Tensor& t) { return static_cast<int>(size_of(t.dtype())); }
}  // namespace

RETORT_GPU_KERNEL(gather) {
  const int axis = call.attrs.as<IndexAttrs>().axis;
  on_gpu::check_indices(call, call.in[1], call.in[0].shape()[axis]);
  if (call.out[0].numel() == 0) return;
  const Tensor x = on_gpu::dense(call, call.in[0]), index = on_gpu::dense(call, call.in[1]);
  const on_gpu::Result y(call, call.out[0]);
  kernels::gather_elements({bytes_of(x), on_gpu::address(x), on_gpu::address_of<std::int64_t>(index), y.data(),
                            lines_of(x.shape(), axis, index.shape()[axis])},
                           call.stream);
  y.finish();
}

/// in: x, index, what is put there. out: x with it.
RETORT_GPU_KERNEL(scatter) {
  const int axis = call.attrs.as<IndexAttrs>().axis;
  on_gpu::check_indices(call, call.in[1], call.out[0].shape()[axis]);
  if (call.out[0].numel() == 0) return;
  const Tensor index = on_gpu::dense(call, call.in[1]), source = on_gpu::dense(call, call.in[2]);
  const on_gpu::Result y(call, call.out[0]);
  on_gpu::copy(call, call.in[0], y.tensor());
  kernels::scatter_elements({bytes_of(source), on_gpu::address(source), on_gpu::address_of<std::int64_t>(index),
                             y.data(), lines_of(y.tensor().shape(), axis, index.shape()[axis])},
                            call.stream);
  y.finish();
}

/// Sums are f32 before they are rounded.
RETORT_GPU_KERNEL(scatter_add) {
  const auto& attrs = call.attrs.as<IndexAttrs>();
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  on_gpu::check_indices(call, call.in[1], attrs.extent);
  if (call.out[0].numel() == 0) return;
  const Tensor source = on_gpu::dense(call, call.in[0]), index = on_gpu::dense(call, call.in[1]);
  const on_gpu::Result y(call, call.out[0], -1, DType::f32);
  call.stream.device->fill(y.data(), 0, static_cast<std::size_t>(y.tensor().numel()) * sizeof(float), call.stream);
  kernels::scatter_add_elements(
      {type, on_gpu::address(source), on_gpu::address_of<std::int64_t>(index), on_gpu::address_of<float>(y.tensor()),
       lines_of(y.tensor().shape(), attrs.axis, index.shape()[attrs.axis])},
      call.stream);
  y.finish();
}

}  // namespace retort
