// tensor/op_table.h -- reading the op table: for devices that answer with the kernels of another.
#pragma once
#include "tensor/primitive.h"

namespace retort {

/// The kernel of an op on a kind of device, or null.
Kernel find_kernel(std::string_view op, DeviceKind device);

}  // namespace retort
