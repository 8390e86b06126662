// tensor/logit_chunks.h -- how many rows of logits exist at a time in ops that never hold them all.
#pragma once
#include <algorithm>
#include <cstdint>

namespace retort {

/// Both sides' logits of one chunk take at most this many bytes (or 16 rows, where even they are more).
inline constexpr std::int64_t kLogitBytes = std::int64_t{48} << 20;

/// Rows per chunk for `classes` logits of `size` bytes: a multiple of 16, at most 1024.
inline std::int64_t rows_per_chunk(std::int64_t classes, std::int64_t size) {
  const std::int64_t fit = kLogitBytes / (2 * std::max<std::int64_t>(classes, 1) * size);
  return std::clamp<std::int64_t>(fit / 16 * 16, 16, 1024);
}

}  // namespace retort
