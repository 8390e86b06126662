// cuda_kernels/emulate/memory.h -- emulated memory: every byte knows whether it was written, and who touched it last.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda_kernels/gpu.h"

namespace retort::gpu {

/// A place in the partial order of all work: number `at` (from 1) of the queue `queue`.
struct Moment {
  std::uint32_t queue = 0, at = 0;
  bool operator==(const Moment&) const = default;
};
/// A vector clock: entry q is how much of queue q is known to be done.
using ClockVector = std::vector<std::uint32_t>;
inline bool reached(const ClockVector& clock, Moment m) { return m.queue < clock.size() && clock[m.queue] >= m.at; }

/// Who touches memory: a thread of a kernel, or a copy (block 0, thread 0), and what it knows to have happened.
struct Toucher {
  Moment moment;
  const ClockVector* known = nullptr;
  const char* name = "";
  std::uint32_t block = 0, thread = 0;
  std::uint32_t barriers = 0;    ///< barriers of its block so far
  std::uint32_t warp_syncs = 0;  ///< barriers of its warp so far
};
enum class TouchMode : std::uint8_t { read, write, atomic };

/// A range of memory with its shadow. Fresh bytes are 0xFF (a NaN in every float type) and count as never written.
/// `global` memory has blocks that nothing orders; shared memory belongs to one block.
class Region {
 public:
  Region(std::byte* data, std::size_t bytes, std::string name);

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return written_.size(); }
  bool contains(const void* p) const;

  /// Checks one access of `bytes` at p and notes it. Throws KernelFault: out_of_bounds, misaligned (p no multiple of
  /// bytes), freed, uninitialised, race. A race is found in every order of execution, whatever the values.
  void touch(const void* p, std::size_t bytes, TouchMode mode, const Toucher& who);
  /// The same for a whole range, as copies and releases touch it; `poison` allows reads of bytes never written.
  void touch_range(const void* p, std::size_t bytes, TouchMode mode, const Toucher& who, bool poison = false);
  /// Copies bytes with their shadow of being written.
  void copy_written(const void* to, const Region& from, const void* source, std::size_t bytes);

  /// Notes an allocation: only work that comes after it may touch the memory.
  void claim(Moment when);
  /// Notes a release: all that touched the memory must come before it.
  void free(const Toucher& who);
  bool freed() const { return freed_; }
  /// Forgets everything: fresh memory.
  void reset();

 private:
  struct Touch {
    Moment moment;
    std::uint32_t block = 0, thread = 0, barriers = 0, warp_syncs = 0;
    bool atomic = false;
    // For reads: whether several threads, warps, blocks share this entry.
    bool threads = false, warps = false, blocks = false;
  };
  struct Shadow {
    Touch write, read;
  };

  /// Makes shadows fine enough for an access of `bytes` at `offset`.
  void refine(std::size_t offset, std::size_t bytes);
  std::size_t offset_of(const void* p, std::size_t bytes, const Toucher& who) const;
  void check_order(Shadow& shadow, std::size_t offset, TouchMode mode, const Toucher& who);
  static bool ordered(const Touch& before, const Toucher& now);
  static void note_read(Touch& read, const Toucher& now);
  [[noreturn]] void fail(Fault fault, std::size_t offset, const std::string& what, const Toucher& who) const;

  std::byte* data_;
  std::string name_;
  std::vector<std::uint8_t> written_;
  std::size_t grain_ = 8;  ///< bytes per shadow: what touches it so far is aligned to that
  std::vector<Shadow> shadow_;
  bool freed_ = false;
};

}  // namespace retort::gpu
