// tensor/primitive.h -- the op table, (op, device) -> kernel, and dispatch: the one door to every kernel.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "tensor/tensor.h"

namespace retort {

/// The non-tensor arguments of an op call, shared by the tape and the kernels. Empty for ops without any.
class AttrBox {
 public:
  AttrBox() = default;
  template <class A>
  static AttrBox of(A attrs) {
    AttrBox box;
    box.held_ = Ref<Base>(new Holder<A>(std::move(attrs)));
    return box;
  }
  /// The arguments, which must have been put in as an A: InternalError else.
  template <class A>
  const A& as() const {
    if (!held_ || held_->type != &kType<A>)
      throw InternalError("an op's attributes {}", held_ ? "are of another type than its kernel reads" : "are missing");
    return static_cast<const Holder<A>*>(held_.get())->value;
  }

 private:
  template <class A>
  static constexpr char kType = 0;  ///< its address stands for the type
  struct Base : RefCounted<Base> {
    explicit Base(const char* held_type) : type(held_type) {}
    virtual ~Base() = default;
    const char* type;
  };
  template <class A>
  struct Holder final : Base {
    explicit Holder(A v) : Base(&kType<A>), value(std::move(v)) {}
    A value;
  };
  Ref<Base> held_;
};

struct KernelCall {
  std::span<const Tensor> in;
  std::span<const Tensor> out;  ///< allocated by dispatch with the inferred layouts
  const AttrBox& attrs;
  std::byte* scratch;  ///< as many bytes as infer asked for, 64-byte aligned
};
using Kernel = void (*)(const KernelCall&);

/// Results of one kernel call at most; ops with more are views or composites.
inline constexpr std::size_t kMaxOutputs = 8;

/// What a shape function sees and fills: one `output` per result, in order.
class InferCall {
 public:
  struct Output {
    Shape shape;
    DType dtype;
    Strides strides;
  };
  InferCall(std::string_view op_name, std::span<const Tensor> inputs, const AttrBox& attributes)
      : name(op_name), in(inputs), attrs(attributes) {}
  std::string_view name;
  std::span<const Tensor> in;
  const AttrBox& attrs;

  void output(const Shape& shape, DType dtype) { output(shape, dtype, contiguous_strides(shape)); }
  void output(const Shape& shape, DType dtype, const Strides& strides) {
    if (count == kMaxOutputs) throw InternalError("{}: more than {} outputs", name, kMaxOutputs);
    outputs[count++] = {shape, dtype, strides};
  }
  void scratch(std::int64_t bytes) { scratch_bytes += bytes; }

  std::array<Output, kMaxOutputs> outputs;  ///< the first `count`; inline, as most ops are small
  std::size_t count = 0;
  std::int64_t scratch_bytes = 0;
};
using InferFn = void (*)(InferCall&);
/// Metadata-only ops: the results share the input's storage.
using ViewFn = void (*)(const Tensor& in, const AttrBox& attrs, std::span<Tensor> out);

/// An op as the tensor room sees it: a name, a shape function (or a view) and kernels by device.
struct Primitive {
  std::string_view name;
  ViewFn view = nullptr;
  InferFn infer = nullptr;
  mutable std::atomic<Kernel> kernels[kDeviceKinds] = {};  ///< filled from the op table at first use

  explicit Primitive(std::string_view op_name) : name(op_name) {}
};

/// Enters a kernel into the op table; called by static objects (RETORT_CPU_KERNEL).
bool register_kernel(std::string_view op, DeviceKind device, Kernel kernel);
/// Names of all ops with a kernel for `device`, sorted.
std::vector<std::string_view> registered_kernels(DeviceKind device);

/// Defines and registers the CPU kernel of op `op`: RETORT_CPU_KERNEL(softmax) { ... call.in[0] ... }
#define RETORT_CPU_KERNEL(op)                                                     \
  static void cpu_kernel_##op(const ::retort::KernelCall& call);                  \
  [[maybe_unused]] static const bool cpu_kernel_##op##_registered =               \
      ::retort::register_kernel(#op, ::retort::DeviceKind::cpu, cpu_kernel_##op); \
  static void cpu_kernel_##op([[maybe_unused]] const ::retort::KernelCall& call)

/// Sees every kernel launch of its thread: profilers, NaN guards, graph capture. Installed by DispatchScope.
struct DispatchObserver {
  virtual ~DispatchObserver() = default;
  virtual void before(const Primitive&, std::span<const Tensor> /*in*/) {}
  virtual void after(const Primitive&, std::span<const Tensor> /*in*/, std::span<const Tensor> /*out*/) {}
};
class DispatchScope {
 public:
  explicit DispatchScope(DispatchObserver& observer);
  ~DispatchScope();
  DispatchScope(const DispatchScope&) = delete;
  DispatchScope& operator=(const DispatchScope&) = delete;

 private:
  DispatchObserver* previous_;
};

/// Runs an op on unlifted tensors: checks devices, infers, allocates outputs and scratch, calls the kernel. On the meta
/// device everything but the kernel happens. Throws ShapeError, DTypeError, DeviceError naming the op.
void dispatch(const Primitive& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out);

/// Runs an op's kernel on outputs that exist already (writers, optimisers). Nothing happens on the meta device.
void run_kernel(const Primitive& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<const Tensor> out);

}  // namespace retort
