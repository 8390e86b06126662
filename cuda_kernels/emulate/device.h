// cuda_kernels/emulate/device.h -- the emulated device's side of a launch: kernel bodies and their arguments.
#pragma once
#include "cuda_kernels/emulate/memory.h"
#include "cuda_kernels/gpu.h"

namespace retort::gpu {

/// Finds the memory behind a kernel's pointers.
class Binder {
 public:
  virtual ~Binder() = default;
  /// The region that holds p, nullptr for nullptr. Throws PointerError for host memory, KernelFault for freed memory.
  virtual Region* find(const void* p) = 0;
};

/// A kernel with its arguments, ready to run once per thread.
class EmulatedKernel {
 public:
  virtual ~EmulatedKernel() = default;
  /// Called when it is put into a stream and again before it runs.
  virtual void bind(Binder& binder) = 0;
  virtual void run_thread() = 0;
};

}  // namespace retort::gpu
