// tensor/gpu/index.cpp -- reading and adding rows by index on GPUs. Indices are checked on the host, which waits.
#include "cuda_kernels/embedding.h"
#include "cuda_kernels/write.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

/// `layout` with its `count` axes from `axis` on in front.
Layout in_front(const Layout& layout, int axis, int count) {
  Dims order;
  for (int a = axis; a < axis + count; ++a) order.push_back(a);
  for (int a = 0; a < layout.shape.rank(); ++a)
    if (a < axis || a >= axis + count) order.push_back(a);
  return on_gpu::permuted(layout, order);
}
Layout own_layout(const Tensor& t) { return {t.shape(), t.strides(), 0}; }
}  // namespace

RETORT_GPU_KERNEL(index_select) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const int axis = call.attrs.as<IndexAttrs>().axis;
  const kernels::Type type = on_gpu::training(call, x);
  on_gpu::check_indices(call, call.in[1], x.shape()[axis]);
  if (y.numel() == 0) return;
  const Tensor index = on_gpu::dense(call, call.in[1]);
  const Tensor table = on_gpu::dense(call, x.view(in_front(x.layout(), axis, 1)));
  const Layout rows = in_front(own_layout(y), axis, index.rank());
  const Tensor read = Tensor::empty(rows.shape, y.dtype(), y.device());
  kernels::gather_rows({type, on_gpu::address(table), on_gpu::address_of<std::int64_t>(index), on_gpu::address(read),
                        index.numel(), x.numel() / x.shape()[axis]},
                       call.stream);
  on_gpu::copy(call, read, own_layout(read), y, rows);
}

RETORT_GPU_KERNEL(index_add) {
  const Tensor &source = call.in[0], &y = call.out[0];
  const auto& attrs = call.attrs.as<IndexAttrs>();
  const kernels::Type type = on_gpu::training(call, source);
  on_gpu::check_indices(call, call.in[1], attrs.extent);
  if (y.numel() == 0) return;
  const Tensor index = on_gpu::dense(call, call.in[1]);
  const Tensor rows = on_gpu::dense(call, source.view(in_front(source.layout(), attrs.axis, index.rank())));
  const Layout target = in_front(own_layout(y), attrs.axis, 1);
  const Tensor table = Tensor::zeros(target.shape, DType::f32, y.device());
  kernels::scatter_add_rows({type, on_gpu::address(rows), on_gpu::address_of<std::int64_t>(index),
                             on_gpu::address_of<float>(table), index.numel(), table.numel() / attrs.extent},
                            call.stream);
  on_gpu::copy(call, table, own_layout(table), y, target);
}

}  // namespace retort
