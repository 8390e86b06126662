// cuda_kernels/emulate/memory.cpp -- the checks of one access.
#include "cuda_kernels/emulate/memory.h"

#include <algorithm>
#include <cstring>

namespace retort::gpu {

namespace {
constexpr int kPoison = 0xFF;
constexpr std::uint32_t kWarp = 32;
const char* verb(TouchMode mode) { return mode == TouchMode::read ? "reads" : "writes"; }
}  // namespace

Region::Region(std::byte* data, std::size_t bytes, std::string name) : data_(data), name_(std::move(name)) {
  written_.resize(bytes);
  shadow_.resize((bytes + grain_ - 1) / grain_);
  if (bytes > 0) std::memset(data_, kPoison, bytes);
}

void Region::reset() {
  if (bytes() > 0) std::memset(data_, kPoison, bytes());
  std::fill(written_.begin(), written_.end(), std::uint8_t{0});
  std::fill(shadow_.begin(), shadow_.end(), Shadow{});
}

void Region::refine(std::size_t offset, std::size_t bytes) {
  // What reaches the region's end may leave its last shadow partly unused.
  const bool to_end = offset + bytes == this->bytes();
  std::size_t grain = grain_;
  while (offset % grain != 0 || (!to_end && bytes % grain != 0)) grain /= 2;
  if (grain == grain_) return;
  std::vector<Shadow> fine((this->bytes() + grain - 1) / grain);
  for (std::size_t i = 0; i < fine.size(); ++i) fine[i] = shadow_[i * grain / grain_];
  shadow_ = std::move(fine);
  grain_ = grain;
}

bool Region::contains(const void* p) const {
  const auto at = reinterpret_cast<std::uintptr_t>(p), begin = reinterpret_cast<std::uintptr_t>(data_);
  return at >= begin && at < begin + bytes();
}

void Region::fail(Fault fault, std::size_t offset, const std::string& what, const Toucher& who) const {
  throw KernelFault(fault, std::string(who.name) + ": block " + std::to_string(who.block) + ", thread " +
                               std::to_string(who.thread) + " " + what + " at byte " +
                               std::to_string(static_cast<std::ptrdiff_t>(offset)) + " of " + name_ + ", which has " +
                               std::to_string(bytes()) + " bytes");
}

std::size_t Region::offset_of(const void* p, std::size_t bytes, const Toucher& who) const {
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(data_);
  if (offset > this->bytes() || bytes > this->bytes() - offset)
    fail(Fault::out_of_bounds, offset, "is out of bounds", who);
  if (freed_) fail(Fault::freed, offset, "uses memory that was released", who);
  return offset;
}

bool Region::ordered(const Touch& before, const Toucher& now) {
  if (before.moment.at == 0) return true;
  if (before.moment != now.moment) return reached(*now.known, before.moment);
  if (before.blocks || before.block != now.block) return false;
  if (before.barriers != now.barriers) return true;
  const bool same_warp = !before.warps && before.thread / kWarp == now.thread / kWarp;
  if (same_warp && before.warp_syncs != now.warp_syncs) return true;
  return !before.threads && before.thread == now.thread;
}

void Region::note_read(Touch& read, const Toucher& now) {
  const bool together = read.moment == now.moment && read.moment.at != 0;
  Touch next{now.moment, now.block, now.thread, now.barriers, now.warp_syncs};
  if (together) {
    next.blocks = read.blocks || read.block != now.block;
    const bool same_epoch = read.block == now.block && read.barriers == now.barriers;
    const bool same_warp = read.thread / kWarp == now.thread / kWarp;
    if (same_epoch) {
      next.warps = read.warps || !same_warp;
      const bool warp_ordered = same_warp && read.warp_syncs != now.warp_syncs;
      next.threads = !warp_ordered && (read.threads || read.thread != now.thread);
    }
  }
  read = next;
}

void Region::check_order(Shadow& shadow, std::size_t offset, TouchMode mode, const Toucher& who) {
  const bool both_atomic = mode == TouchMode::atomic && shadow.write.atomic && shadow.write.moment == who.moment;
  if (!both_atomic && !ordered(shadow.write, who))
    fail(Fault::race, offset, std::string(verb(mode)) + " what nothing orders after its last write", who);
  if (mode == TouchMode::read) return note_read(shadow.read, who);
  if (!ordered(shadow.read, who)) fail(Fault::race, offset, "writes what nothing orders after its last read", who);
  shadow.write = Touch{who.moment, who.block, who.thread, who.barriers, who.warp_syncs, mode == TouchMode::atomic};
}

void Region::touch(const void* p, std::size_t bytes, TouchMode mode, const Toucher& who) {
  const std::size_t offset = offset_of(p, bytes, who);
  if (reinterpret_cast<std::uintptr_t>(p) % bytes != 0) fail(Fault::misaligned, offset, "is misaligned", who);
  refine(offset, bytes);
  // One shadow for an element: kernels that share memory see it as elements of one size.
  check_order(shadow_[offset / grain_], offset, mode, who);
  if (mode != TouchMode::write && std::count(&written_[offset], &written_[offset] + bytes, 0) != 0)
    fail(Fault::uninitialised, offset, "reads what was never written", who);
  if (mode != TouchMode::read) std::fill_n(&written_[offset], bytes, std::uint8_t{1});
}

void Region::touch_range(const void* p, std::size_t bytes, TouchMode mode, const Toucher& who, bool poison) {
  if (bytes == 0) return;
  const std::size_t offset = offset_of(p, bytes, who);
  refine(offset, bytes);
  for (std::size_t i = offset; i < offset + bytes; i += grain_) check_order(shadow_[i / grain_], i, mode, who);
  if (mode == TouchMode::read && !poison && std::count(&written_[offset], &written_[offset] + bytes, 0) != 0)
    fail(Fault::uninitialised, offset, "reads what was never written", who);
  if (mode == TouchMode::write) std::fill_n(&written_[offset], bytes, std::uint8_t{1});
}

void Region::copy_written(const void* to, const Region& from, const void* source, std::size_t bytes) {
  if (bytes == 0) return;
  const auto first = static_cast<const std::byte*>(source) - from.data_;
  std::copy_n(from.written_.begin() + first, bytes, written_.begin() + (static_cast<const std::byte*>(to) - data_));
}

void Region::claim(Moment when) {
  for (Shadow& shadow : shadow_) shadow.write.moment = when;
}

void Region::free(const Toucher& who) {
  touch_range(data_, bytes(), TouchMode::write, who);
  freed_ = true;
  // A released range keeps its address for a while; its shadow is of no more use.
  shadow_ = {};
}

}  // namespace retort::gpu
