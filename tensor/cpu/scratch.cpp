// tensor/cpu/scratch.cpp -- the per-thread list of idle blocks behind ScratchBytes.
#include "tensor/cpu/scratch.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tensor/error.h"

namespace retort::cpu {
namespace {

constexpr std::int64_t kAlignment = 64;
constexpr std::int64_t kLargest = std::int64_t{1} << 40;  // more than this is a size gone wrong

struct Block {
  void* data;
  std::int64_t capacity;
};

struct ThreadPool {
  std::vector<Block> idle;
  ScratchStats stats;

  ~ThreadPool() {
    for (const Block& b : idle) std::free(b.data);
  }
  void drop(std::size_t i) {
    stats.retained -= idle[i].capacity;
    std::free(idle[i].data);
    idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(i));
  }
};

ThreadPool& pool() {
  thread_local ThreadPool instance;
  return instance;
}

}  // namespace

std::int64_t largest_block_for(std::int64_t bytes) { return bytes + bytes / 4 + 4096; }

ScratchStats scratch_stats() { return pool().stats; }

ScratchBytes::ScratchBytes(std::int64_t bytes) {
  if (bytes <= 0) return;
  ThreadPool& p = pool();
  const Block* best = nullptr;
  for (const Block& b : p.idle)
    if (b.capacity >= bytes && (best == nullptr || b.capacity < best->capacity)) best = &b;
  if (best != nullptr && best->capacity <= largest_block_for(bytes)) {
    data_ = best->data;
    capacity_ = best->capacity;
    p.stats.retained -= capacity_;
    p.idle.erase(p.idle.begin() + (best - p.idle.data()));
  } else {
    capacity_ = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes <= kLargest) data_ = std::aligned_alloc(kAlignment, static_cast<std::size_t>(capacity_));
    if (data_ == nullptr) throw MemoryError("scratch: no memory for a kernel's working space; got {} bytes", bytes);
  }
  p.stats.in_use += capacity_;
  p.stats.peak = std::max(p.stats.peak, p.stats.in_use);
}

ScratchBytes::~ScratchBytes() {
  if (data_ == nullptr) return;
  ThreadPool& p = pool();
  p.stats.in_use -= capacity_;
  if (capacity_ > kScratchRetained) {
    std::free(data_);
    return;
  }
  p.idle.push_back({data_, capacity_});
  p.stats.retained += capacity_;
  // The oldest blocks go first: sizes of the present phase of a job stay.
  while (p.stats.retained > kScratchRetained) p.drop(0);
}

}  // namespace retort::cpu
