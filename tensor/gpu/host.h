// tensor/gpu/host.h -- which ops GPUs leave to the processor's kernels, and why.
#pragma once
#include <span>
#include <string_view>

namespace retort {

struct HostAnswer {
  std::string_view op;
  std::string_view why;  ///< library_ops: the library whose routine it is on a real device
};

/// Ops whose kernel on a real device is a library's, which the emulator does not have: there the processor's kernel
/// runs in stream order on the device's memory (gpu::Device::call_library). On cuda they are missing until that library
/// is bound.
std::span<const HostAnswer> library_ops();

/// Ops that run on the host for every GPU: operands are copied there, results back, and the stream waits meanwhile.
/// Everything in neither list and without a kernel of its own is missing: dispatch throws DeviceError.
std::span<const HostAnswer> host_ops();

}  // namespace retort
