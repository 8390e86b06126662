#include "tensor/gpu/device.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "tensor/error.h"
#include "tensor/gpu/recorded_step.h"

namespace retort {

namespace {
constexpr int kMaxIndex = 16;

constexpr std::int64_t kSmallStaging = 4 << 10;
/// Less on the emulator, where a pinned byte has a shadow and tests are to cut copies into several.
std::int64_t large_staging(const gpu::Device& gpu) { return gpu.emulated() ? 64 << 10 : 4 << 20; }

struct Registry {
  std::mutex mutex;
  std::array<std::array<GpuDevice*, kMaxIndex>, kDeviceKinds> open{};
  std::map<int, gpu::EmulatorOptions> emulators;
};
Registry& registry() {
  static Registry& all = *new Registry;
  return all;
}

std::unique_ptr<gpu::Device> open_gpu(Device device, const Registry& known) {
  try {
    if (device.kind == DeviceKind::cuda) {
      if (device.index >= gpu::cuda_devices())
        throw DeviceError(
            "{}: there are {} CUDA devices; hint: run.device=cpu, or build with -Dcuda=enabled and see retort doctor",
            device.str(), gpu::cuda_devices());
      return gpu::open_cuda(device.index);
    }
    const auto options = known.emulators.find(device.index);
    return gpu::open_emulator(options == known.emulators.end() ? gpu::EmulatorOptions{} : options->second);
  } catch (const gpu::Error& error) {
    throw DeviceError("{}: cannot be opened; got {}; hint: run.device=cpu; retort doctor lists the devices there are",
                      device.str(), error.what());
  }
}
}  // namespace

GpuDevice& GpuDevice::of(Device device) {
  if (device.kind != DeviceKind::emu && device.kind != DeviceKind::cuda)
    throw DeviceError("{} is no GPU", device.str());
  if (device.index < 0 || device.index >= kMaxIndex)
    throw DeviceError("{}: device numbers lie in [0, {})", device.str(), kMaxIndex);
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  GpuDevice*& slot = all.open[static_cast<std::size_t>(device.kind)][static_cast<std::size_t>(device.index)];
  if (!slot) slot = new GpuDevice(device, open_gpu(device, all));
  return *slot;
}

GpuDevice::GpuDevice(Device device, std::unique_ptr<gpu::Device> gpu) : device_(device), gpu_(std::move(gpu)) {
  small_.open(*gpu_, kSmallStaging, gpu_->emulated() ? 8 : 64);
  large_.open(*gpu_, large_staging(*gpu_), 2);
}

void GpuDevice::Staging::open(gpu::Device& gpu, std::int64_t bytes, std::size_t count) {
  bytes_ = bytes;
  for (std::size_t i = 0; i < count; ++i)
    buffers_.push_back(
        {static_cast<std::byte*>(gpu.allocate_pinned(static_cast<std::size_t>(bytes))), gpu.create_event()});
}

GpuDevice::Staging::Buffer& GpuDevice::Staging::next(gpu::Device& gpu) {
  Buffer& buffer = buffers_[next_++ % buffers_.size()];
  gpu.synchronize(buffer.free);
  return buffer;
}

std::byte* GpuDevice::allocate(std::int64_t bytes) {
  if (bytes == 0) return nullptr;
  std::byte* memory = nullptr;
  use([&](gpu::Device&, gpu::Stream) {
    if (step_) memory = step_->take(bytes);
    if (memory) return;
    const gpu::Stream stream = gpu_->default_stream();
    const auto get = [&] { memory = static_cast<std::byte*>(gpu_->allocate(static_cast<std::size_t>(bytes), stream)); };
    try {
      get();
    } catch (const gpu::OutOfMemory&) {  // releases that wait in the stream, and what is cached
      if (step_) step_->flush();
      gpu_->synchronize(stream);
      gpu_->trim();
      get();
    }
    if (step_) step_->allocated(memory, bytes);
  });
  return memory;
}

void GpuDevice::release(std::byte* memory) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    for (const auto& arena : arenas_)
      if (arena->holds(memory)) return arena->give_back(memory);
    if (step_ && step_->releases(memory)) return;
    gpu_->release(memory, gpu_->default_stream());
  } catch (const std::exception& error) {
    if (late_.empty()) late_ = error.what();
  }
}

void GpuDevice::upload(std::byte* to, const void* from, std::int64_t bytes) {
  use([&](gpu::Device&, gpu::Stream) {
    if (step_ && step_->uploads(to, from, bytes)) return;
    if (step_) step_->flush();
    upload_now(to, from, bytes);
  });
}

void GpuDevice::upload_now(std::byte* to, const void* from, std::int64_t bytes) {
  const gpu::Stream stream = gpu_->default_stream();
  Staging& staging = staging_for(bytes);
  for (std::int64_t at = 0; at < bytes; at += staging.bytes()) {
    const auto n = static_cast<std::size_t>(std::min(staging.bytes(), bytes - at));
    const Staging::Buffer& buffer = staging.next(*gpu_);
    std::memcpy(buffer.memory, static_cast<const std::byte*>(from) + at, n);
    gpu_->copy_to_device(to + at, buffer.memory, n, stream);
    gpu_->record(buffer.free, stream);
  }
}

void GpuDevice::download(void* to, const std::byte* from, std::int64_t bytes) {
  use([&](gpu::Device&, gpu::Stream) {
    if (step_) step_->flush();
    const gpu::Stream stream = gpu_->default_stream();
    Staging& staging = staging_for(bytes);
    for (std::int64_t at = 0; at < bytes; at += staging.bytes()) {
      const auto n = static_cast<std::size_t>(std::min(staging.bytes(), bytes - at));
      const Staging::Buffer& buffer = staging.next(*gpu_);
      gpu_->copy_to_host(buffer.memory, from + at, n, stream);
      gpu_->record(buffer.free, stream);
      gpu_->synchronize(buffer.free);
      std::memcpy(static_cast<std::byte*>(to) + at, buffer.memory, n);
    }
  });
}

void GpuDevice::synchronize() {
  use([&](gpu::Device&, gpu::Stream) {
    if (step_) step_->flush();
    gpu_->synchronize(gpu_->default_stream());
  });
}

gpu::Device& GpuDevice::door() { return step_ ? step_->door() : *gpu_; }

void GpuDevice::after_use() {
  if (step_) step_->flush_if_full();
}

StepPlace GpuDevice::place() {
  return {*gpu_, gpu_->default_stream(), [this](void* to, const void* from, std::size_t bytes) {
            upload_now(static_cast<std::byte*>(to), from, static_cast<std::int64_t>(bytes));
          }};
}

void GpuDevice::begin(RecordedStep& step) {
  use([&](gpu::Device&, gpu::Stream) {
    if (step_)
      throw DeviceError("{}: a step is captured already; hint: one trainer at a time, or run.capture=off",
                        device_.str());
    if (step.arena_bytes() > 0) step.use(arena(step.arena_bytes()));
    step_ = &step;
  });
}

void GpuDevice::end(RecordedStep& step) {
  use([&](gpu::Device&, gpu::Stream) {
    step.finish();
    step_ = nullptr;
  });
}

void GpuDevice::abandon(RecordedStep& step) noexcept {
  const std::lock_guard lock(mutex_);
  if (step_ != &step) return;
  try {
    step.leave();
  } catch (const std::exception& error) {
    if (late_.empty()) late_ = error.what();
  }
  step_ = nullptr;
}

void GpuDevice::let_go(std::unique_ptr<gpu::GraphTable> graphs) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    gpu_->synchronize();
  } catch (const std::exception& error) {
    if (late_.empty()) late_ = error.what();
  }
  graphs.reset();
}

Arena& GpuDevice::arena(std::int64_t bytes) {
  if (!arenas_.empty() && arenas_.back()->bytes() >= bytes) return *arenas_.back();
  std::erase_if(arenas_, [&](const std::unique_ptr<Arena>& old) {
    if (old->idle()) gpu_->release(old->memory(), gpu_->default_stream());
    return old->idle();
  });
  arenas_.push_back(std::make_unique<Arena>(allocate(bytes), bytes));
  return *arenas_.back();
}

std::string GpuDevice::str() const {
  const gpu::Properties p = gpu_->properties();
  return fmt::format("{}: {}, compute capability {}.{}, {:.1f} GiB", device_.str(), p.name, p.compute_major,
                     p.compute_minor, static_cast<double>(p.total_bytes) / double{1 << 30});
}

void GpuDevice::throw_late() {
  if (!late_.empty()) throw CudaError("{}: {}", device_.str(), std::exchange(late_, {}));
}

void GpuDevice::rethrow(const gpu::Error& error) const {
  if (dynamic_cast<const gpu::OutOfMemory*>(&error))
    throw MemoryError("{}: {}; hint: use a smaller micro-batch or checkpointing", device_.str(), error.what());
  throw CudaError("{}: {}", device_.str(), error.what());
}

void configure_emulator(int index, const gpu::EmulatorOptions& options) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  if (index >= 0 && index < kMaxIndex &&
      all.open[static_cast<std::size_t>(DeviceKind::emu)][static_cast<std::size_t>(index)])
    throw DeviceError("emu:{}: it is open already; hint: its options are told before its first use", index);
  all.emulators[index] = options;
}

Device gpu_from_name(std::string_view name) {
  const std::string_view kind = name.substr(0, name.find(':'));
  int index = 0;
  if (kind.size() != name.size()) {
    const std::string_view number = name.substr(kind.size() + 1);
    const bool digits = !number.empty() && number.size() < 3 &&
                        std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) throw ConfigError("device: a number follows the colon; got {}", name);
    index = std::stoi(std::string(number));
  }
  if (kind != "emu" && kind != "cuda") throw ConfigError("device: emu or cuda, with a number; got {}", name);
  if (index >= kMaxIndex) throw DeviceError("device: numbers lie in [0, {}); got {}", kMaxIndex, name);
  return {kind == "emu" ? DeviceKind::emu : DeviceKind::cuda, static_cast<std::int8_t>(index)};
}

std::vector<std::string> known_gpus() {
  std::vector<std::string> lines;
  for (int i = 0; i < std::min(gpu::cuda_devices(), kMaxIndex); ++i)
    lines.push_back(GpuDevice::of({DeviceKind::cuda, static_cast<std::int8_t>(i)}).str());
  lines.push_back(GpuDevice::of({DeviceKind::emu, 0}).str());
  return lines;
}

}  // namespace retort
