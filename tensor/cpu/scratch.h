// tensor/cpu/scratch.h -- working memory of kernels, kept per thread between calls and bounded.
#pragma once
#include <cstddef>
#include <cstdint>

namespace retort::cpu {

/// A thread keeps at most this many bytes of idle scratch; what exceeds it goes back to the system.
inline constexpr std::int64_t kScratchRetained = std::int64_t{64} << 20;

/// A request is served by an idle block of at most this capacity.
std::int64_t largest_block_for(std::int64_t bytes);

struct ScratchStats {
  std::int64_t in_use = 0;    ///< bytes held by live buffers of this thread
  std::int64_t retained = 0;  ///< idle bytes kept for later calls
  std::int64_t peak = 0;      ///< largest in_use since the thread began
};
/// Figures of the calling thread.
ScratchStats scratch_stats();

/// Uninitialised bytes aligned to 64, taken from the calling thread's idle blocks when one fits. The buffer must be
/// destroyed by the thread that made it. Throws MemoryError when the system has no memory left.
class ScratchBytes {
 public:
  explicit ScratchBytes(std::int64_t bytes);
  ~ScratchBytes();
  ScratchBytes(const ScratchBytes&) = delete;
  ScratchBytes& operator=(const ScratchBytes&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  std::int64_t capacity_ = 0;
};

/// `count` uninitialised elements of a trivial type; see ScratchBytes.
template <class T>
class Scratch {
 public:
  explicit Scratch(std::int64_t count) : bytes_(count * static_cast<std::int64_t>(sizeof(T))) {}
  T* data() const { return static_cast<T*>(bytes_.data()); }
  T& operator[](std::int64_t i) const { return data()[i]; }

 private:
  ScratchBytes bytes_;
};

}  // namespace retort::cpu
