// tensor/gpu/kernel.h -- entering functions into the op table for GPUs, and what they share: pointers, layouts, copies.
#pragma once
#include <optional>

#include "cuda_kernels/types.h"
#include "tensor/gpu/device.h"
#include "tensor/primitive.h"

namespace retort::on_gpu {

/// A KernelCall with its op's name and the stream that its work goes into. What it allocates is not charged to anyone's
/// account, as plans do not know of it; it is given back in stream order.
struct Call {
  std::string_view op;
  std::span<const Tensor> in, out;
  const AttrBox& attrs;
  std::byte* scratch;  ///< device memory, as much as infer asked for
  GpuDevice& device;
  gpu::Stream stream;
};
using Function = void (*)(const Call&);

void run(std::string_view op, const KernelCall& call, Function function);

/// Enters one function for emu and cuda. Entry has `name` and `run(const Call&)`.
template <class Entry>
bool enter() {
  const Kernel kernel = [](const KernelCall& call) { on_gpu::run(Entry::name, call, Entry::run); };
  return register_kernel(Entry::name, DeviceKind::emu, kernel) &&
         register_kernel(Entry::name, DeviceKind::cuda, kernel);
}

/// RETORT_GPU_KERNEL(softmax) { ... call.in[0] ... }, as RETORT_CPU_KERNEL for the processor.
#define RETORT_GPU_KERNEL(op)                                                                           \
  namespace {                                                                                           \
  struct GpuKernel_##op {                                                                               \
    static constexpr std::string_view name = #op;                                                       \
    static void run(const ::retort::on_gpu::Call& call);                                                \
  };                                                                                                    \
  [[maybe_unused]] const bool gpu_kernel_##op##_registered = ::retort::on_gpu::enter<GpuKernel_##op>(); \
  }                                                                                                     \
  void GpuKernel_##op::run([[maybe_unused]] const ::retort::on_gpu::Call& call)

/// The first element in device memory; null for an undefined or empty tensor.
std::byte* address(const Tensor& t);
template <class T>
T* address_of(const Tensor& t) {
  return reinterpret_cast<T*>(address(t));
}

/// The launchers' name of an element type. `training` allows what most kernels compute on, f32 and bf16, and throws
/// DTypeError for any other.
kernels::Type type_of(DType dtype);
kernels::Type training(const Call& call, const Tensor& t);

/// The steps of two layouts of one shape as launchers want them: axes in `first`'s order, merged where both allow it.
/// Layouts of lower rank, or of extent 1 along an axis, are broadcast to `shape`.
kernels::StridedPair strided(const Shape& shape, const Layout& first, const Layout& second);
/// The axes in order of falling strides: through it a dense layout is row-major.
Dims row_major_order(const Layout& dense);
Layout permuted(const Layout& layout, const Dims& order);

/// to = from, converted: same shape, any strides; the layouts' offsets count from the tensors' first elements.
void copy(const Call& call, const Tensor& from, const Layout& from_layout, const Tensor& to, const Layout& to_layout);
void copy(const Call& call, const Tensor& from, const Tensor& to);
/// t, or a row-major copy when it is not; in `dtype` (its own when left out). Undefined stays undefined.
Tensor dense(const Call& call, const Tensor& t);
Tensor dense(const Call& call, const Tensor& t, DType dtype);
/// The same with `axis` moved to the end, so that rows along it lie one after the other.
Tensor dense_rows(const Call& call, const Tensor& t, int axis);

/// A result that a kernel writes densely, with `axis` moved to the end (none: -1): the call's own tensor where its
/// layout is that, else one whose values `finish` copies there.
class Result {
 public:
  Result(const Call& call, const Tensor& out, int axis = -1);
  Result(const Call& call, const Tensor& out, int axis, DType dtype);
  const Tensor& tensor() const { return dense_; }
  std::byte* data() const { return address(dense_); }
  void finish() const;

 private:
  const Call& call_;
  Layout wanted_;
  Tensor out_, dense_;
};

/// Numbers of the host as a device tensor of rank 1. What changes from step to step goes this way into a kernel: a
/// captured step takes its uploads anew (tensor/gpu/capture.h), other values it repeats.
Tensor uploaded(const Call& call, std::span<const float> numbers);
Tensor uploaded(const Call& call, std::span<const double> numbers);
Tensor uploaded(const Call& call, std::span<const std::int64_t> numbers);

/// Throws ValueError unless all indices lie in [0, extent) or equal `allowed`. The indices are read on the host: this
/// waits for the stream.
void check_indices(const Call& call, const Tensor& indices, std::int64_t extent,
                   std::optional<std::int64_t> allowed = {});

}  // namespace retort::on_gpu
