// tensor/gpu/reduce.cpp -- reductions over axes on GPUs: as rows, as columns, or of everything.
#include "cuda_kernels/reduce.h"

#include "cuda_kernels/softmax.h"
#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using kernels::ReduceAxis;
using on_gpu::Call;

/// The input's axes, kept ones in front of reduced ones or behind them.
Layout grouped(const Layout& in, std::uint32_t axes, bool kept_first) {
  Dims order;
  for (const bool kept : {kept_first, !kept_first})
    for (int a = 0; a < in.shape.rank(); ++a)
      if ((axes >> a & 1u) != (kept ? 1u : 0u)) order.push_back(a);
  return on_gpu::permuted(in, order);
}

void reduce(const Call& call, kernels::Reduction how, double divisor) {
  const std::uint32_t axes = call.attrs.as<ReduceAttrs>().axes;
  const Tensor &x = call.in[0], &y = call.out[0];
  const kernels::Type type = on_gpu::training(call, x);
  if (y.numel() == 0) return;
  const std::int64_t kept = y.numel(), reduced = x.numel() / kept;
  // A tensor whose reduced axes come first in memory is folded by columns as it lies; any other by rows.
  const Layout by_columns = grouped(x.layout(), axes, false);
  const bool columns = kept > 1 && by_columns.contiguous();
  const Tensor in = on_gpu::dense(call, x.view(columns ? by_columns : grouped(x.layout(), axes, true)));
  const ReduceAxis axis = kept == 1 ? ReduceAxis::all : columns ? ReduceAxis::column : ReduceAxis::row;
  const std::int64_t rows = columns ? reduced : kept, width = columns ? kept : reduced;
  const Tensor scratch = Tensor::empty({kernels::reduce_scratch(axis, rows, width)}, DType::f32, x.device());
  kernels::reduce({how, axis, type, on_gpu::address(in), on_gpu::address(y), rows, width, static_cast<float>(divisor),
                   on_gpu::address_of<float>(scratch)},
                  call.stream);
}
void reduce_flags(const Call& call, kernels::Reduction how) {
  const Tensor flags = on_gpu::dense(call, call.in[0], DType::f32);
  const on_gpu::Result y(call, call.out[0], -1, DType::f32);
  const Tensor in[] = {flags}, out[] = {y.tensor()};
  reduce({call.op, in, out, call.attrs, nullptr, call.device, call.stream}, how, 1);
  y.finish();
}

/// The input with the reduced axes last and dense: rows.
Tensor rows_of(const Call& call) {
  return on_gpu::dense(call, call.in[0].view(grouped(call.in[0].layout(), call.attrs.as<ReduceAttrs>().axes, true)));
}

void extreme_index(const Call& call, bool largest) {
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const std::int64_t rows = call.out[0].numel();
  if (rows == 0) return;
  const Tensor x = rows_of(call);
  kernels::extreme_index(
      {largest, type, on_gpu::address(x), on_gpu::address_of<std::int64_t>(call.out[0]), rows, x.numel() / rows},
      call.stream);
}
}  // namespace

RETORT_GPU_KERNEL(argmax) { extreme_index(call, true); }
RETORT_GPU_KERNEL(argmin) { extreme_index(call, false); }

RETORT_GPU_KERNEL(logsumexp) {
  const kernels::Type type = on_gpu::training(call, call.in[0]);
  const std::int64_t rows = call.out[0].numel();
  if (rows == 0) return;
  const Tensor x = rows_of(call);
  kernels::logsumexp({type, on_gpu::address(x), on_gpu::address(call.out[0]), rows, x.numel() / rows}, call.stream);
}

RETORT_GPU_KERNEL(sum) { reduce(call, kernels::Reduction::sum, call.attrs.as<ReduceAttrs>().divisor); }
RETORT_GPU_KERNEL(max) { reduce(call, kernels::Reduction::max, 1); }
RETORT_GPU_KERNEL(min) { reduce(call, kernels::Reduction::min, 1); }

/// As f32: the smallest of no elements is infinity, so true, and their sum 0, so false.
RETORT_GPU_KERNEL(all) { reduce_flags(call, kernels::Reduction::min); }
RETORT_GPU_KERNEL(any) { reduce_flags(call, kernels::Reduction::sum); }

RETORT_GPU_KERNEL(inner_product) {
  const Tensor &a = call.in[0], &b = call.in[1];
  const kernels::Type type = on_gpu::training(call, a);
  const Tensor x = a.layout().dense() ? a : on_gpu::dense(call, a), y = b.layout().dense() ? b : on_gpu::dense(call, b);
  const Tensor scratch = Tensor::empty({kernels::inner_product_scratch(a.numel())}, DType::f64, a.device());
  kernels::inner_product({type, on_gpu::address(x), on_gpu::address(y), on_gpu::address_of<double>(call.out[0]),
                          a.numel(), on_gpu::address_of<double>(scratch)},
                         call.stream);
}

}  // namespace retort
