#include "tensor/primitive.h"

#include <algorithm>
#include <map>

#include "tensor/op_table.h"

namespace retort {

namespace {
using Table = std::map<std::string_view, Kernel, std::less<>>;
Table& table(DeviceKind device) {
  static Table tables[kDeviceKinds];
  return tables[static_cast<int>(device)];
}
thread_local DispatchObserver* observer_of_thread = nullptr;

Kernel kernel_of(const Primitive& op, Device device) {
  auto& slot = op.kernels[static_cast<int>(device.kind)];
  Kernel k = slot.load(std::memory_order_acquire);
  if (k) return k;
  k = find_kernel(op.name, device.kind);
  if (!k) throw DeviceError("{}: no kernel for device {}", op.name, device.str());
  slot.store(k, std::memory_order_release);
  return k;
}

Device common_device(const Primitive& op, std::span<const Tensor> in) {
  const Tensor* first = nullptr;
  for (const Tensor& t : in) {
    if (!t.defined()) continue;
    if (t.lift()) throw InternalError("{}: a lifted tensor reached a kernel", op.name);
    if (first && !(t.device() == first->device()))
      throw DeviceError("{}: inputs on different devices; got {} and {}", op.name, first->str(), t.str());
    if (!first) first = &t;
  }
  if (!first) throw InternalError("{}: called without a defined input", op.name);
  return first->device();
}
}  // namespace

bool register_kernel(std::string_view op, DeviceKind device, Kernel kernel) {
  if (!table(device).emplace(op, kernel).second) throw InternalError("op table: two kernels named {}", op);
  return true;
}

std::vector<std::string_view> registered_kernels(DeviceKind device) {
  std::vector<std::string_view> names;
  for (const auto& [name, kernel] : table(device)) names.push_back(name);
  return names;
}

Kernel find_kernel(std::string_view op, DeviceKind device) {
  const Table& t = table(device);
  const auto it = t.find(op);
  return it == t.end() ? nullptr : it->second;
}

DispatchScope::DispatchScope(DispatchObserver& observer) : previous_(observer_of_thread) {
  observer_of_thread = &observer;
}
DispatchScope::~DispatchScope() { observer_of_thread = previous_; }

void dispatch(const Primitive& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out) {
  const Device device = common_device(op, in);
  DispatchObserver* const observer = observer_of_thread;
  if (observer) observer->before(op, in);
  if (op.view) {
    op.view(in[0], attrs, out);
  } else {
    InferCall infer(op.name, in, attrs);
    op.infer(infer);
    if (infer.count != out.size())
      throw InternalError("{}: infers {} outputs where {} are expected", op.name, infer.count, out.size());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto& o = infer.outputs[i];
      out[i] = Tensor::empty(o.shape, o.dtype, device, &o.strides);
    }
    Ref<Storage> scratch;
    if (infer.scratch_bytes > 0) scratch = Storage::allocate(infer.scratch_bytes, device);
    if (device.kind != DeviceKind::meta)
      kernel_of(op, device)(KernelCall{in, out, attrs, scratch ? scratch->data() : nullptr});
  }
  if (observer) observer->after(op, in, out);
}

void run_kernel(const Primitive& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<const Tensor> out) {
  const Device device = out[0].device();
  for (const Tensor& t : in)
    if (t.defined() && !(t.device() == device))
      throw DeviceError("{}: operands on different devices; got {} and {}", op.name, t.str(), out[0].str());
  if (device.kind == DeviceKind::meta) return;
  DispatchObserver* const observer = observer_of_thread;
  if (observer) observer->before(op, in);
  kernel_of(op, device)(KernelCall{in, out, attrs, nullptr});
  if (observer) observer->after(op, in, out);
}

}  // namespace retort
