// cuda_kernels/gpu_none.cpp -- what a build without CUDA says when asked for a device.
#include "cuda_kernels/gpu.h"

namespace retort::gpu {

int cuda_devices() { return 0; }

std::unique_ptr<Device> open_cuda(int ordinal) {
  throw Unavailable("open_cuda: this build has no CUDA; got device " + std::to_string(ordinal) +
                    "; hint: configure with -Dcuda=enabled");
}

}  // namespace retort::gpu
