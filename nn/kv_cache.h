// nn/kv_cache.h -- keys and values of the positions a decoder has read, so that the next token costs one position.
#pragma once
#include <vector>

#include "tensor/tensor.h"

namespace retort {

/// Preallocated for `capacity` positions of each row; one slot per attention layer. A model that is called with a cache
/// reads it, appends the positions it was given, and answers for those alone, as one call over all of them would.
/// Values in a cache carry no gradient: it serves generation.
class KvCache {
 public:
  struct Slot {
    Tensor k, v;              ///< [batch, kv_heads, capacity, head_width]
    std::int64_t length = 0;  ///< positions filled
  };
  struct Filled {
    Tensor k, v;  ///< views [batch, kv_heads, length, head_width] of everything so far
  };

  KvCache(std::size_t layers, std::int64_t batch, std::int64_t kv_heads, std::int64_t capacity, std::int64_t head_width,
          DType dtype = DType::f32, Device device = kCpu);
  KvCache(const KvCache&) = delete;  // handles alias: a copy would be overwritten by the original
  KvCache& operator=(const KvCache&) = delete;
  KvCache(KvCache&&) = default;
  KvCache& operator=(KvCache&&) = default;

  /// Writes k and v [batch, kv_heads, t, head_width] behind the positions that layer holds and returns all of them.
  /// Throws ShapeError when they do not fit (naming the capacity), AutogradError when one is tracked.
  Filled append_(std::size_t layer, const Tensor& k, const Tensor& v);
  /// Positions read by whole forward passes: those of the last layer, which is written last.
  std::int64_t length() const { return slots_.back().length; }
  std::int64_t capacity() const { return slots_.back().k.size(2); }
  /// Forgets all positions from `length` on; 0 empties the cache. Throws ValueError beyond the present length.
  void truncate(std::int64_t length);

 private:
  std::vector<Slot> slots_;
};

}  // namespace retort
