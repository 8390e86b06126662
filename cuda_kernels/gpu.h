// cuda_kernels/gpu.h -- the one door to a GPU: memory, streams, events, copies, launches, captures, typed errors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace retort::gpu {

/// Base of all errors of a device. Messages read `where: what was wrong; got ...; hint`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// No driver, or no such device.
class Unavailable : public Error {
 public:
  using Error::Error;
};
/// The device could not serve an allocation.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};
/// A host pointer where device memory is wanted or the reverse, memory that was freed, a range beyond its allocation.
class PointerError : public Error {
 public:
  using Error::Error;
};
/// A call that is not allowed now: an allocation while capturing, a capture that was never begun, an unknown handle.
class StateError : public Error {
 public:
  using Error::Error;
};

/// What a kernel or a copy did wrong. A real device can tell `failed` only; the emulated one tells which.
enum class Fault : std::uint8_t {
  failed,
  out_of_bounds,
  misaligned,
  uninitialised,
  freed,
  race,               ///< two accesses, at least one of them a write, that nothing orders
  divergent_barrier,  ///< threads of a block that meet at no barrier, or at different ones
  divergent_warp      ///< lanes that do not answer a warp's collective, or a mask that does not fit
};
class KernelFault : public Error {
 public:
  KernelFault(Fault fault, const std::string& message) : Error(message), fault_(fault) {}
  Fault fault() const { return fault_; }

 private:
  Fault fault_;
};

class Device;

/// Handles are small values; what they name belongs to the device.
struct Stream {
  Device* device = nullptr;
  int id = 0;
};
struct Event {
  int id = -1;
};
struct Graph {
  int id = -1;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
  std::int64_t count() const { return std::int64_t{x} * y * z; }
};
struct LaunchShape {
  Extent grid, block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory
};

class EmulatedKernel;
/// What is launched: compiled code with the addresses of its arguments, or a body for the emulated device. `entry` is
/// the function in both cases: instances share a name. Arguments are the caller's until the launch returns.
struct Kernel {
  const char* name = "";
  const void* entry = nullptr;
  void** arguments = nullptr;
  const std::size_t* argument_bytes = nullptr;  ///< those that tell values apart (arguments.h)
  std::size_t argument_count = 0;
  std::shared_ptr<EmulatedKernel> body;
};

/// A range of device memory that a library's work reads, or writes whole.
struct Access {
  const void* memory = nullptr;
  std::size_t bytes = 0;
  bool written = false;
};

struct Properties {
  std::string name;
  int compute_major = 0, compute_minor = 0;
  int multiprocessors = 0;
  std::size_t total_bytes = 0;
  std::size_t shared_bytes_per_block = 0;  ///< the most that a launch may ask for
};
struct MemoryUse {
  std::size_t used_bytes = 0;    ///< handed out, rounded up to size classes
  std::size_t cached_bytes = 0;  ///< given back and kept for later
};

/// What an allocation of `bytes` takes: a multiple of 512 up to 4 KiB, then four classes to a doubling; at most a
/// quarter is lost.
std::size_t size_class(std::size_t bytes);

/// One GPU. Streams order what is put into them; work of two streams is ordered by events only. Every call may throw
/// the error of work that was put in before. Not thread-safe: one thread drives a device.
class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual bool emulated() const = 0;
  virtual Properties properties() const = 0;
  virtual MemoryUse memory_use() const = 0;

  /// Device memory of `bytes` (nullptr for 0) that work of `stream` may use from now on; other streams wait for an
  /// event recorded after this call. Contents are undefined. Throws OutOfMemory; StateError while capturing.
  virtual void* allocate(std::size_t bytes, Stream stream) = 0;
  /// Gives memory back once the work that is now in `stream` is done. Throws PointerError for anything else.
  virtual void release(void* memory, Stream stream) = 0;
  /// Gives cached memory back to the system.
  virtual void trim() = 0;
  /// Host memory that copies may read and write while the host goes on: the only host memory they take.
  virtual void* allocate_pinned(std::size_t bytes) = 0;
  virtual void release_pinned(void* memory) = 0;

  /// The stream that every device has from the start.
  Stream default_stream() { return {this, 0}; }
  virtual Stream create_stream() = 0;
  virtual void destroy(Stream stream) = 0;
  virtual Event create_event() = 0;
  virtual void destroy(Event event) = 0;

  /// The event stands for all work that is now in the stream; a new record replaces the old.
  virtual void record(Event event, Stream stream) = 0;
  /// Work put into `stream` from now on waits for the event. An event never recorded is no wait.
  virtual void wait(Stream stream, Event event) = 0;
  virtual bool done(Event event) = 0;
  virtual void synchronize(Event event) = 0;
  virtual void synchronize(Stream stream) = 0;
  virtual void synchronize() = 0;

  /// Copies of `bytes`, in stream order. Host memory must be pinned; it belongs to the copy until the stream gets
  /// there.
  virtual void copy_to_device(void* device_memory, const void* pinned, std::size_t bytes, Stream stream) = 0;
  virtual void copy_to_host(void* pinned, const void* device_memory, std::size_t bytes, Stream stream) = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
  /// Sets every byte.
  virtual void fill(void* memory, std::uint8_t byte, std::size_t bytes, Stream stream) = 0;
  /// Runs a function of the host in stream order. It must not call the device.
  virtual void call(std::function<void()> function, Stream stream) = 0;
  /// What answers on the emulator for a library of real devices: a function of the host that runs in stream order on
  /// the ranges it names, which are checked as those of a kernel. Calls of one name, settings and ranges do the same.
  /// Throws StateError on any other device.
  virtual void call_library(const char* name, const std::string& settings, std::function<void()> function,
                            std::vector<Access> ranges, Stream stream) = 0;

  /// Puts a kernel into the stream. Throws StateError for a shape that the device cannot run.
  virtual void launch(const Kernel& kernel, const LaunchShape& shape, Stream stream) = 0;

  /// From here to `end_capture`, work put into `stream`, and into streams that wait for its events, is noted and not
  /// run. Nothing may be allocated, released or synchronised meanwhile. Streams that were drawn in must be waited for
  /// before the end; StateError otherwise.
  virtual void begin_capture(Stream stream) = 0;
  virtual Graph end_capture(Stream stream) = 0;
  /// Runs all that was captured as one piece of work of `stream`, with the addresses and values of then.
  virtual void replay(Graph graph, Stream stream) = 0;
  virtual void destroy(Graph graph) = 0;
};

/// How the emulated device and its kernels are run: which of the orders that streams, events and barriers allow.
enum class Schedule : std::uint8_t { forward, reverse, random };
struct EmulatorOptions {
  Schedule schedule = Schedule::random;
  std::uint64_t seed = 0;
  std::size_t total_bytes = std::size_t{1} << 30;  ///< allocations beyond it throw OutOfMemory
};

/// A device of this machine's own: work is put off until somebody waits for it and then runs in one of the orders that
/// streams and events allow; kernels run thread by thread (emulate/block.h). Every byte has a shadow
/// (emulate/memory.h): reads of what was never written, accesses out of bounds or after a release, and pairs of
/// accesses that nothing orders are KernelFaults, whichever order is run.
std::unique_ptr<Device> open_emulator(const EmulatorOptions& options = {});

/// How many CUDA devices there are; 0 without a driver, and in a build without CUDA.
int cuda_devices();
/// The CUDA device of that number. Throws Unavailable.
std::unique_ptr<Device> open_cuda(int ordinal);

}  // namespace retort::gpu
