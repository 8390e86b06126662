// tensor/gpu/copy.cpp -- ops and writers on GPUs that only move or convert elements.
#include "cuda_kernels/write.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;

Layout own_layout(const Tensor& t) { return {t.shape(), t.strides(), 0}; }

void fill(const Call& call, const Tensor& to, const Layout& layout, double value) {
  std::byte* const y = on_gpu::address(to) + layout.offset * size_of(to.dtype());
  if (layout.numel() > 0)
    kernels::fill({on_gpu::type_of(to.dtype()), y, value, on_gpu::strided(layout.shape, layout, layout)}, call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(cast) { on_gpu::copy(call, call.in[0], call.out[0]); }
RETORT_GPU_KERNEL(copy) { on_gpu::copy(call, call.in[0], call.out[0]); }
RETORT_GPU_KERNEL(contiguous) { on_gpu::copy(call, call.in[0], call.out[0]); }
RETORT_GPU_KERNEL(channels_last) { on_gpu::copy(call, call.in[0], call.out[0]); }

RETORT_GPU_KERNEL(concat) {
  const int axis = call.attrs.as<int>();
  Layout piece = own_layout(call.out[0]);
  for (const Tensor& t : call.in) {
    piece.shape[axis] = t.shape()[axis];
    on_gpu::copy(call, t, own_layout(t), call.out[0], piece);
    piece.offset += t.shape()[axis] * piece.strides[axis];
  }
}

RETORT_GPU_KERNEL(embed) {
  const auto& attrs = call.attrs.as<SliceAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  fill(call, y, own_layout(y), attrs.value);
  on_gpu::copy(call, x, own_layout(x), y, sliced_layout(own_layout(y), attrs.begin, attrs.step, x.shape()));
}

RETORT_GPU_KERNEL(flip) {
  const std::uint32_t axes = call.attrs.as<ReduceAttrs>().axes;
  Layout reversed = own_layout(call.in[0]);
  for (int a = 0; a < reversed.shape.rank(); ++a)
    if (axes >> a & 1u) {
      reversed.offset += (reversed.shape[a] - 1) * reversed.strides[a];
      reversed.strides[a] = -reversed.strides[a];
    }
  on_gpu::copy(call, call.in[0], reversed, call.out[0], own_layout(call.out[0]));
}

RETORT_GPU_KERNEL(fill) { fill(call, call.out[0], own_layout(call.out[0]), call.attrs.as<double>()); }

RETORT_GPU_KERNEL(accumulate) {
  const Tensor &x = call.in[0], &y = call.out[0];
  kernels::accumulate({on_gpu::type_of(x.dtype()), on_gpu::type_of(y.dtype()), on_gpu::address(x), on_gpu::address(y),
                       on_gpu::strided(y.shape(), own_layout(x), own_layout(y))},
                      call.stream);
}

RETORT_GPU_KERNEL(scale) {
  const Tensor& y = call.out[0];
  const Tensor factor = on_gpu::uploaded(call, std::span(&call.attrs.as<double>(), 1));
  kernels::scale({on_gpu::type_of(y.dtype()), on_gpu::address(y), on_gpu::address_of<double>(factor),
                  on_gpu::strided(y.shape(), own_layout(y), own_layout(y))},
                 call.stream);
}

}  // namespace retort
