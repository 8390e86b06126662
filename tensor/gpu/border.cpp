// tensor/gpu/border.cpp -- borders that repeat a tensor, their adjoint, and rolls on GPUs.
#include "cuda_kernels/border.h"

#include <vector>

#include "tensor/attrs.h"
#include "tensor/gpu/kernel.h"

namespace retort {

namespace {
using on_gpu::Call;
using Places = std::vector<std::int64_t>;

/// Which place of an axis of `extent` every place of the padded axis repeats.
Places repeated(PadMode mode, std::int64_t before, std::int64_t extent, std::int64_t padded) {
  Places from;
  for (std::int64_t p = 0; p < padded; ++p) {
    const std::int64_t at = p - before, last = extent - 1;
    if (at >= 0 && at < extent)
      from.push_back(at);
    else if (mode == PadMode::reflect)
      from.push_back(at < 0 ? -at : 2 * last - at);
    else if (mode == PadMode::replicate)
      from.push_back(at < 0 ? 0 : last);
    else
      from.push_back(at < 0 ? at + extent : at - extent);
  }
  return from;
}

kernels::StridedPair every_axis(const Shape& shape, const Tensor& first, const Tensor& second) {
  kernels::StridedPair pair;
  pair.rank = shape.rank();
  for (int axis = 0; axis < shape.rank(); ++axis) {
    pair.extent[axis] = shape[axis];
    pair.first[axis] = first.strides()[axis];
    pair.second[axis] = second.strides()[axis];
  }
  return pair;
}

/// y reads x by a table for each axis.
template <class TableOf>
void read(const Call& call, const TableOf& table_of) {
  const Tensor &x = call.in[0], &y = call.out[0];
  if (y.numel() == 0) return;
  kernels::ReadByTables args{static_cast<int>(size_of(x.dtype())),
                             on_gpu::address(x),
                             on_gpu::address(y),
                             every_axis(y.shape(), x, y),
                             nullptr,
                             {}};
  Places tables;
  for (int axis = 0; axis < y.rank(); ++axis) {
    args.begin[axis] = static_cast<std::int64_t>(tables.size());
    const Places table = table_of(axis);
    tables.insert(tables.end(), table.begin(), table.end());
  }
  const Tensor on_device = on_gpu::uploaded(call, std::span<const std::int64_t>(tables));
  args.tables = on_gpu::address_of<std::int64_t>(on_device);
  kernels::read_by_tables(args, call.stream);
}

/// For each of `extent` places where the list of those that repeat it begins, the end, then the lists; `base` is where
/// the whole will lie.
Places readers(const Places& from, std::int64_t extent, std::int64_t base) {
  Places starts, lists;
  for (std::int64_t q = 0; q < extent; ++q) {
    starts.push_back(base + extent + 1 + static_cast<std::int64_t>(lists.size()));
    for (std::size_t p = 0; p < from.size(); ++p)
      if (from[p] == q) lists.push_back(static_cast<std::int64_t>(p));
  }
  starts.push_back(base + extent + 1 + static_cast<std::int64_t>(lists.size()));
  starts.insert(starts.end(), lists.begin(), lists.end());
  return starts;
}
}  // namespace

RETORT_GPU_KERNEL(pad_border) {
  const auto& attrs = call.attrs.as<PadBorderAttrs>();
  read(call,
       [&](int axis) { return repeated(attrs.mode, attrs.before[axis], call.in[0].shape()[axis], attrs.shape[axis]); });
}

RETORT_GPU_KERNEL(pad_border_grad) {
  const auto& attrs = call.attrs.as<PadBorderAttrs>();
  const Tensor &cot = call.in[0], &dx = call.out[0];
  const kernels::Type type = on_gpu::training(call, cot);
  if (dx.numel() == 0) return;
  kernels::SumByTables args{type, on_gpu::address(cot), on_gpu::address(dx), every_axis(dx.shape(), cot, dx), nullptr,
                            {}};
  Places tables;
  for (int axis = 0; axis < dx.rank(); ++axis) {
    args.begin[axis] = static_cast<std::int64_t>(tables.size());
    const Places from = repeated(attrs.mode, attrs.before[axis], dx.shape()[axis], cot.shape()[axis]);
    const Places lists = readers(from, dx.shape()[axis], args.begin[axis]);
    tables.insert(tables.end(), lists.begin(), lists.end());
  }
  const Tensor on_device = on_gpu::uploaded(call, std::span<const std::int64_t>(tables));
  args.tables = on_gpu::address_of<std::int64_t>(on_device);
  kernels::sum_by_tables(args, call.stream);
}

/// Along every axis the last `shift` elements come first.
RETORT_GPU_KERNEL(roll) {
  const auto& shift = call.attrs.as<Dims>();
  read(call, [&](int axis) {
    const std::int64_t n = call.out[0].shape()[axis];
    Places from;
    for (std::int64_t p = 0; p < n; ++p) from.push_back((p - shift[axis] + n) % n);
    return from;
  });
}

}  // namespace retort
