#include "tensor/transfer.h"

#include "tensor/gpu/device.h"
#include "tensor/write.h"

namespace retort {

Tensor to(const Tensor& t, Device device) {
  if (!t.defined()) return t;
  const Tensor plain = t.unlifted();
  if (t.device() == device) return plain;
  if (t.meta()) throw DeviceError("to: {} has no values to copy to {}", t.str(), device.str());
  if (device.kind == DeviceKind::meta)
    return Tensor::empty(t.shape(), t.dtype(), device, t.layout().dense() ? &t.strides() : nullptr);
  const Tensor from = t.layout().dense() ? plain : copy_of(plain);
  const Device source = from.device();
  if (source.kind != DeviceKind::cpu && device.kind != DeviceKind::cpu) return to(to(from, kCpu), device);
  const Tensor copy = Tensor::empty(from.shape(), from.dtype(), device, &from.strides());
  const std::int64_t size = size_of(from.dtype()), bytes = from.numel() * size, at = from.layout().offset * size;
  if (bytes == 0) return copy;
  if (source.kind == DeviceKind::cpu)
    GpuDevice::of(device).upload(copy.storage()->data(), from.storage()->data() + at, bytes);
  else
    GpuDevice::of(source).download(copy.storage()->data(), from.storage()->data() + at, bytes);
  return copy;
}

Tensor constant_on(const Tensor& t, Device device) {
  if (!t.defined() || t.device() == device) return t;
  if (t.lift())
    throw AutogradError("constant_on: a copy from {} to {} has no derivative, and {} is tracked", t.device().str(),
                        device.str(), t.str());
  return to(t, device);
}

Device host_of(Device device) { return device.kind == DeviceKind::meta ? device : kCpu; }

Tensor on_host(const Tensor& t) { return t.defined() && !t.meta() ? to(t, kCpu) : t; }

}  // namespace retort
