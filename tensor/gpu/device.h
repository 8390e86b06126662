// tensor/gpu/device.h -- the process's GPUs, emulated and real, as tensors use them: memory, a stream, staging, errors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda_kernels/recorder.h"
#include "tensor/storage.h"

namespace retort {

class Arena;
class RecordedStep;
/// The device under a recorded step, and how bytes of the host get there when they are not captured.
struct StepPlace {
  gpu::Device& device;
  gpu::Stream stream;
  gpu::Upload upload;
};

/// One GPU or emulator. Everything runs in one stream, in the order of the calls, while the host goes on; only
/// `download` and `synchronize` wait. Any thread may call: a lock lets one at a time in. Errors are Retort's:
/// MemoryError when memory is out, CudaError for what a kernel or a copy did wrong, which may be found at a later call.
class GpuDevice {
 public:
  /// Opened at first use and never closed: tensors of static lifetime may outlive everything. Throws DeviceError when
  /// there is no such device, and for cpu and meta.
  static GpuDevice& of(Device device);

  /// Device memory of that many bytes, null for 0. Throws MemoryError.
  std::byte* allocate(std::int64_t bytes);
  /// Gives memory back once work put in so far is done. What goes wrong is thrown by the next call.
  void release(std::byte* memory) noexcept;

  /// Copies between host and device memory through pinned staging, in stream order. `from` may be changed as soon as
  /// `upload` returns; `download` returns when `to` holds the bytes.
  void upload(std::byte* to, const void* from, std::int64_t bytes);
  void download(void* to, const std::byte* from, std::int64_t bytes);
  /// Waits for everything put in so far.
  void synchronize();

  /// f(gpu::Device&, gpu::Stream) under the lock, with the errors of this room.
  template <class F>
  void use(F&& f) {
    const std::lock_guard lock(mutex_);
    throw_late();
    try {
      gpu::Device& gpu = door();
      f(gpu, gpu.default_stream());
      after_use();
    } catch (const gpu::Error& error) {
      rethrow(error);
    }
  }

  /// A step that StepCapture notes: from `begin` on, memory and work go by way of it. `end` runs what it holds; so does
  /// `abandon`, whose errors the next call throws. Throws DeviceError when there is one already.
  void begin(RecordedStep& step);
  void end(RecordedStep& step);
  void abandon(RecordedStep& step) noexcept;
  /// Destroys captures, once all work is done. What that finds wrong is thrown by the next call.
  void let_go(std::unique_ptr<gpu::GraphTable> graphs) noexcept;
  /// What a step needs of the device underneath.
  StepPlace place();

  /// "emu: emulator, compute capability 9.0, 1.0 GiB", for reports.
  std::string str() const;

 private:
  /// Pinned buffers of one size, taken in turn, each with the event after which it may be used again. Small copies
  /// have many, so that the host runs ahead of the stream.
  class Staging {
   public:
    struct Buffer {
      std::byte* memory;
      gpu::Event free;
    };
    void open(gpu::Device& gpu, std::int64_t bytes, std::size_t count);
    std::int64_t bytes() const { return bytes_; }
    /// The next one, once the copy that used it last is done.
    Buffer& next(gpu::Device& gpu);

   private:
    std::vector<Buffer> buffers_;
    std::int64_t bytes_ = 0;
    std::size_t next_ = 0;
  };

  GpuDevice(Device device, std::unique_ptr<gpu::Device> gpu);
  gpu::Device& door();
  void after_use();
  /// The arena of all steps, at least that large: the same one until a larger one is asked for.
  Arena& arena(std::int64_t bytes);
  /// What `upload` does when it is not noted.
  void upload_now(std::byte* to, const void* from, std::int64_t bytes);
  Staging& staging_for(std::int64_t bytes) { return bytes <= small_.bytes() ? small_ : large_; }
  void throw_late();
  [[noreturn]] void rethrow(const gpu::Error& error) const;

  Device device_;
  std::unique_ptr<gpu::Device> gpu_;
  std::recursive_mutex mutex_;
  Staging small_, large_;
  RecordedStep* step_ = nullptr;
  std::vector<std::unique_ptr<Arena>> arenas_;  ///< the last one serves; others have parts in use
  std::string late_;                            ///< what went wrong where nothing can be thrown
};

/// How the emulator of that index is run, told before its first use: throws DeviceError afterwards. Others run in
/// random order from seed 0.
void configure_emulator(int index, const gpu::EmulatorOptions& options);

/// "emu" or "cuda" with an index ("cuda:1"; 0 when left out), there or not. Throws ConfigError for another name and
/// DeviceError for an index that no device can have.
Device gpu_from_name(std::string_view name);

/// A line for every GPU that can be used, CUDA devices first.
std::vector<std::string> known_gpus();

}  // namespace retort
