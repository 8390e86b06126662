// tests/cuda_kernels/on_device.h -- values to the emulated device and back, under every schedule.
#pragma once
#include <cstring>
#include <functional>
#include <vector>

#include "cuda_kernels/gpu.h"

namespace retort::kernel_test {

/// Device memory with these values, or never written.
template <class T>
T* upload(gpu::Stream stream, const std::vector<T>& values) {
  gpu::Device& device = *stream.device;
  const std::size_t bytes = values.size() * sizeof(T);
  void* const pinned = device.allocate_pinned(bytes);
  if (bytes > 0) std::memcpy(pinned, values.data(), bytes);
  void* const p = device.allocate(bytes, stream);
  device.copy_to_device(p, pinned, bytes, stream);
  device.release_pinned(pinned);
  return static_cast<T*>(p);
}
template <class T>
T* room_for(gpu::Stream stream, std::size_t count) {
  return static_cast<T*>(stream.device->allocate(count * sizeof(T), stream));
}

/// Waits for the stream and reads `count` values.
template <class T>
std::vector<T> download(gpu::Stream stream, const T* p, std::size_t count) {
  gpu::Device& device = *stream.device;
  void* const pinned = device.allocate_pinned(count * sizeof(T));
  device.copy_to_host(pinned, p, count * sizeof(T), stream);
  device.synchronize(stream);
  std::vector<T> values(count);
  if (count > 0) std::memcpy(values.data(), pinned, count * sizeof(T));
  device.release_pinned(pinned);
  return values;
}

/// f(device) on fresh devices: forward, reverse and two random orders.
void on_every_schedule(const std::function<void(gpu::Device&)>& f);

}  // namespace retort::kernel_test
