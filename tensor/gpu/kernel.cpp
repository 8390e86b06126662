#include "tensor/gpu/kernel.h"

#include <algorithm>

#include "cuda_kernels/copy.h"
#include "tensor/transfer.h"

namespace retort::on_gpu {

namespace {
static_assert(static_cast<int>(kernels::Type::f64) == static_cast<int>(DType::f64) &&
              static_cast<int>(kernels::Type::bf16) == static_cast<int>(DType::bf16) &&
              static_cast<int>(kernels::Type::i64) == static_cast<int>(DType::i64) &&
              static_cast<int>(kernels::Type::boolean) == static_cast<int>(DType::boolean));
static_assert(kernels::kMaxRank == kMaxRank);

Layout own_layout(const Tensor& t) { return {t.shape(), t.strides(), 0}; }

Layout axis_last(const Layout& layout, int axis) {
  Layout moved = layout;
  if (axis < 0) return moved;
  moved.shape.erase(axis);
  moved.strides.erase(axis);
  moved.shape.push_back(layout.shape[axis]);
  moved.strides.push_back(layout.strides[axis]);
  return moved;
}

template <class T>
Tensor on_device(const Call& call, std::span<const T> numbers) {
  const Tensor t = Tensor::empty({static_cast<std::int64_t>(numbers.size())}, dtype_of<T>, call.out[0].device());
  call.device.upload(t.storage()->data(), numbers.data(), static_cast<std::int64_t>(numbers.size_bytes()));
  return t;
}
}  // namespace

void run(std::string_view op, const KernelCall& call, Function function) {
  thread_local const Ref<MemoryAccount> workspace(new MemoryAccount);
  GpuDevice& device = GpuDevice::of(call.out[0].device());
  const MemoryScope scope(workspace);
  device.use([&](gpu::Device&, gpu::Stream stream) {
    function({op, call.in, call.out, call.attrs, call.scratch, device, stream});
  });
}

std::byte* address(const Tensor& t) {
  if (!t.defined() || !t.storage() || !t.storage()->data()) return nullptr;
  return t.storage()->data() + t.layout().offset * size_of(t.dtype());
}

kernels::Type type_of(DType dtype) { return static_cast<kernels::Type>(dtype); }

kernels::Type training(const Call& call, const Tensor& t) {
  if (t.dtype() != DType::f32 && t.dtype() != DType::bf16)
    throw DTypeError("{}: no kernel for this element type on GPUs; got {}; hint: f32 or bf16", call.op, t.str());
  return type_of(t.dtype());
}

kernels::StridedPair strided(const Shape& shape, const Layout& first, const Layout& second) {
  const Layout a = broadcast_layout(first, shape), b = broadcast_layout(second, shape);
  kernels::StridedPair pair;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const std::int64_t n = shape[axis];
    if (n == 1) continue;
    const int last = pair.rank - 1;
    if (last >= 0 && pair.first[last] == a.strides[axis] * n && pair.second[last] == b.strides[axis] * n) {
      pair.extent[last] *= n;
      pair.first[last] = a.strides[axis];
      pair.second[last] = b.strides[axis];
    } else {
      pair.extent[pair.rank] = n;
      pair.first[pair.rank] = a.strides[axis];
      pair.second[pair.rank++] = b.strides[axis];
    }
  }
  return pair;
}

Dims row_major_order(const Layout& dense) {
  Dims order;
  for (int axis = 0; axis < dense.shape.rank(); ++axis) order.push_back(axis);
  // Axes of one element have any stride; they matter to nobody.
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return dense.strides[static_cast<int>(a)] > dense.strides[static_cast<int>(b)];
  });
  return order;
}

Layout permuted(const Layout& layout, const Dims& order) {
  Layout p{{}, {}, layout.offset};
  for (const std::int64_t axis : order) {
    p.shape.push_back(layout.shape[static_cast<int>(axis)]);
    p.strides.push_back(layout.strides[static_cast<int>(axis)]);
  }
  return p;
}

void copy(const Call& call, const Tensor& from, const Layout& from_layout, const Tensor& to, const Layout& to_layout) {
  const std::int64_t n = to_layout.numel(), to_size = size_of(to.dtype());
  if (n == 0) return;
  std::byte* const x = address(from) + from_layout.offset * size_of(from.dtype());
  std::byte* const y = address(to) + to_layout.offset * to_size;
  if (from.dtype() == to.dtype() && from_layout.dense() && from_layout.strides == to_layout.strides) {
    if (x != y) call.stream.device->copy(y, x, static_cast<std::size_t>(n * to_size), call.stream);
    return;
  }
  kernels::copy({type_of(from.dtype()), type_of(to.dtype()), x, y, strided(to_layout.shape, from_layout, to_layout)},
                call.stream);
}

void copy(const Call& call, const Tensor& from, const Tensor& to) {
  copy(call, from, own_layout(from), to, own_layout(to));
}

Tensor dense(const Call& call, const Tensor& t) { return t.defined() ? dense(call, t, t.dtype()) : t; }

Tensor dense(const Call& call, const Tensor& t, DType dtype) {
  if (!t.defined() || (t.layout().contiguous() && t.dtype() == dtype)) return t;
  const Tensor d = Tensor::empty(t.shape(), dtype, t.device());
  copy(call, t, d);
  return d;
}

Tensor dense_rows(const Call& call, const Tensor& t, int axis) {
  return dense(call, t.view(axis_last(t.layout(), axis)));
}

Result::Result(const Call& call, const Tensor& out, int axis) : Result(call, out, axis, out.dtype()) {}

Result::Result(const Call& call, const Tensor& out, int axis, DType dtype)
    : call_(call), wanted_(axis_last(own_layout(out), axis)), out_(out) {
  Layout at = wanted_;
  at.offset = out.layout().offset;
  dense_ =
      wanted_.contiguous() && dtype == out.dtype() ? out.view(at) : Tensor::empty(wanted_.shape, dtype, out.device());
}

void Result::finish() const {
  if (dense_.storage() != out_.storage()) copy(call_, dense_, own_layout(dense_), out_, wanted_);
}

Tensor uploaded(const Call& call, std::span<const float> numbers) { return on_device(call, numbers); }
Tensor uploaded(const Call& call, std::span<const double> numbers) { return on_device(call, numbers); }
Tensor uploaded(const Call& call, std::span<const std::int64_t> numbers) { return on_device(call, numbers); }

void check_indices(const Call& call, const Tensor& indices, std::int64_t extent, std::optional<std::int64_t> allowed) {
  for (const std::int64_t i : to(indices, kCpu).values<std::int64_t>())
    if ((i < 0 || i >= extent) && i != allowed)
      throw ValueError("{}: index {} is out of range for an axis of extent {}", call.op, i, extent);
}

}  // namespace retort::on_gpu
