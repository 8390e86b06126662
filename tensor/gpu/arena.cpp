#include "tensor/gpu/arena.h"

#include <algorithm>

namespace retort {

namespace {
/// What device memory is aligned to by itself.
constexpr std::int64_t kAlign = 512;
std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

struct Range {
  std::int64_t begin, end;
};
/// Where the smallest gap between ranges, in order of their begins, holds `size` bytes; behind them when none does.
template <class Ranges>
std::int64_t best_fit(const Ranges& taken, std::int64_t size) {
  std::int64_t best = -1, best_gap = 0, end = 0;
  for (const auto& [begin, stop] : taken) {
    const std::int64_t gap = begin - end;
    if (gap >= size && (best < 0 || gap < best_gap)) {
      best = end;
      best_gap = gap;
    }
    end = std::max(end, aligned(stop));
  }
  return best < 0 ? end : best;
}
}  // namespace

void AllocationLog::allocated(const std::byte* memory, std::int64_t bytes) {
  alive_[memory] = entries_.size();
  entries_.push_back({bytes, now_++});
}

void AllocationLog::released(const std::byte* memory) {
  const auto found = alive_.find(memory);
  if (found == alive_.end()) return;
  entries_[found->second].end = now_++;
  alive_.erase(found);
}

ArenaPlan AllocationLog::plan() const {
  ArenaPlan plan;
  std::vector<std::size_t> order;
  for (const Entry& e : entries_) {
    if (e.end != kNever) order.push_back(plan.blocks.size());
    plan.blocks.push_back({e.bytes, {}});
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return entries_[a].bytes > entries_[b].bytes; });
  std::vector<std::size_t> placed;
  std::vector<Range> taken;
  for (const std::size_t i : order) {
    const Entry& e = entries_[i];
    const std::int64_t size = aligned(e.bytes);
    taken.clear();
    for (const std::size_t other : placed) {
      const Entry& o = entries_[other];
      if (o.begin > e.end || o.end < e.begin) continue;
      const std::int64_t at = *plan.blocks[other].offset;
      taken.push_back({at, at + aligned(o.bytes)});
    }
    std::sort(taken.begin(), taken.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
    const std::int64_t at = best_fit(taken, size);
    plan.blocks[i].offset = at;
    plan.peak = std::max(plan.peak, at + size);
    placed.push_back(i);
  }
  return plan;
}

std::byte* Arena::take(std::int64_t offset, std::int64_t bytes) {
  if (offset < 0 || bytes <= 0 || bytes > bytes_ || offset > bytes_ - bytes) return nullptr;
  const auto after = used_.lower_bound(offset);
  if (after != used_.end() && after->first < offset + bytes) return nullptr;
  if (after != used_.begin() && std::prev(after)->second > offset) return nullptr;
  used_.emplace(offset, offset + bytes);
  return memory_ + offset;
}

std::byte* Arena::take(std::int64_t bytes) { return take(best_fit(used_, bytes), bytes); }

}  // namespace retort
