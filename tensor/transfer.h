// tensor/transfer.h -- copies of tensors from device to device.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// The values of `t` on `device`, below every autograd level, without a copy when they are there already. Dense tensors
/// keep their strides, others become row-major. A copy to a GPU returns at once, one from it waits. From and to meta
/// there are shapes alone: a meta tensor has no values to copy, DeviceError. Undefined stays undefined.
Tensor to(const Tensor& t, Device device);

/// The same for what a level may track: a copy has no derivative, so where one is needed for such a tensor this throws
/// AutogradError.
Tensor constant_on(const Tensor& t, Device device);

/// Where numbers of the host's that belong to tensors on `device` are kept: the host, or with them on meta.
Device host_of(Device device);

/// Values where the host can read them: to(t, kCpu), but tensors of the meta device stay as they are.
Tensor on_host(const Tensor& t);

}  // namespace retort
