// tests/cuda_kernels/on_device.cpp -- the schedules.
#include "tests/cuda_kernels/on_device.h"

#include <doctest/doctest.h>

namespace retort::kernel_test {

void on_every_schedule(const std::function<void(gpu::Device&)>& f) {
  const gpu::EmulatorOptions options[] = {
      {gpu::Schedule::forward, 0}, {gpu::Schedule::reverse, 0}, {gpu::Schedule::random, 1}, {gpu::Schedule::random, 2}};
  for (const gpu::EmulatorOptions& o : options) {
    INFO("schedule ", static_cast<int>(o.schedule), ", seed ", o.seed);
    const auto device = gpu::open_emulator(o);
    f(*device);
  }
}

}  // namespace retort::kernel_test
