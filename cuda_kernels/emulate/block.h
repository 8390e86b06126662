// cuda_kernels/emulate/block.h -- runs the threads of a kernel on the host, one fiber each, block after block.
#pragma once
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "cuda_kernels/emulate/memory.h"
#include "cuda_kernels/gpu.h"

namespace retort::gpu {

class BlockRunner;

/// What a fiber knows about the CUDA thread it runs; `self()` in kernel code.
struct EmulatedThread : Toucher {
  Extent thread_index, block_index, block_extent, grid_extent;
  BlockRunner* runner = nullptr;
  unsigned lane() const { return thread % 32; }
};
/// The running CUDA thread. Only inside a kernel.
EmulatedThread& self();

/// One lane's part in a collective of its warp.
struct Collective {
  const char* what = "";
  std::uint32_t mask = 0;
  int line = 0;
  void* payload = nullptr;
  /// Called once, when every lane of the mask is there, with the lanes' payloads (nullptr outside of the mask).
  void (*finish)(void* const* payloads, std::uint32_t mask) = nullptr;
};

/// Runs grids. Threads switch at barriers and at collectives of warps only, in the order of the schedule; shared memory
/// is fresh for every block. Throws KernelFault: what memory.h finds, `divergent_barrier` when threads of a block do
/// not all meet at the same barrier, `divergent_warp` when a mask names lanes that do not come, leaves out the caller,
/// or differs among lanes. Whatever else a body throws comes out as it is.
class BlockRunner {
 public:
  BlockRunner(Schedule schedule, std::uint64_t seed);
  ~BlockRunner();

  struct Work {
    const char* name = "";
    LaunchShape shape;
    Moment moment;
    const ClockVector* known = nullptr;
  };
  void run(const Work& work, const std::function<void()>& body);

  // For kernel code.
  void sync_block(int line);
  void meet(const Collective& collective);
  /// Static shared memory: each `site` (the address of something of the declaration's own) has its range in the block.
  Region& shared(const void* site, std::size_t bytes);
  Region& dynamic_shared() { return *dynamic_; }

 private:
  struct Fiber;
  enum class Wait : std::uint8_t { ready, barrier, warp, finished };

  struct SharedRange {
    const void* site;
    std::unique_ptr<std::byte[]> bytes;
    std::unique_ptr<Region> region;
  };

  void run_block(const Work& work, Extent index, std::uint32_t number);
  void order_threads(std::size_t count);
  void resume(Fiber& fiber);
  void suspend(Fiber& fiber);
  void answer_warp(std::uint32_t thread);
  void release_barrier(const char* name, std::uint32_t number);
  std::string threads_in(Wait wait) const;

  Schedule schedule_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<std::uint32_t> order_;
  std::vector<std::uint64_t> blocks_;
  std::size_t count_ = 0;  ///< threads of the running block
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool abandon_ = false;  ///< fibers leave their bodies at the next switch
  bool quit_ = false;     ///< idle fibers end
  std::vector<SharedRange> shared_;
  std::unique_ptr<std::byte[]> dynamic_bytes_;
  std::unique_ptr<Region> dynamic_;
};

}  // namespace retort::gpu
