// tensor/gpu/arena.h -- memory of steps that repeat: lifetimes are noted once, and places in one block planned for
// them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace retort {

/// What the allocations of a step come to, in the order in which they are made.
struct ArenaPlan {
  struct Block {
    std::int64_t bytes = 0;
    std::optional<std::int64_t> offset;  ///< none: it outlives the step, so it lies outside
  };
  std::vector<Block> blocks;
  std::int64_t peak = 0;  ///< bytes of the arena
};

/// Notes the allocations of a step and when each ends.
class AllocationLog {
 public:
  void allocated(const std::byte* memory, std::int64_t bytes);
  /// Memory from before the step is nobody's business here.
  void released(const std::byte* memory);
  /// Blocks that are alive at the same time lie apart; largest first, each into the smallest gap that holds it.
  ArenaPlan plan() const;

 private:
  static constexpr std::int64_t kNever = -1;
  struct Entry {
    std::int64_t bytes, begin, end = kNever;  ///< in calls since the step began
  };
  std::vector<Entry> entries_;
  std::unordered_map<const std::byte*, std::size_t> alive_;
  std::int64_t now_ = 0;
};

/// A block of device memory of which parts are handed out. It remembers which of them are in use, so that none is
/// handed out twice, whatever a plan says.
class Arena {
 public:
  Arena(std::byte* memory, std::int64_t bytes) : memory_(memory), bytes_(bytes) {}
  std::byte* memory() const { return memory_; }
  std::int64_t bytes() const { return bytes_; }
  bool holds(const std::byte* p) const { return p >= memory_ && p < memory_ + bytes_; }

  /// The bytes from `offset` on; null when they do not fit or overlap what is in use.
  std::byte* take(std::int64_t offset, std::int64_t bytes);
  /// Bytes in the smallest gap that holds them; null when none does. What is in use decides where.
  std::byte* take(std::int64_t bytes);
  void give_back(const std::byte* p) { used_.erase(p - memory_); }
  bool idle() const { return used_.empty(); }

 private:
  std::byte* memory_;
  std::int64_t bytes_;
  std::map<std::int64_t, std::int64_t> used_;  ///< end, by offset
};

}  // namespace retort
