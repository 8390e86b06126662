#include "tensor/storage.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "tensor/error.h"
#include "tensor/gpu/device.h"

namespace retort {

std::string Device::str() const {
  constexpr std::string_view names[kDeviceKinds] = {"cpu", "meta", "emu", "cuda"};
  const std::string_view name = names[static_cast<int>(kind)];
  const bool numbered = kind == DeviceKind::cuda || index != 0;
  return numbered ? fmt::format("{}:{}", name, static_cast<int>(index)) : std::string(name);
}

void MemoryAccount::charge(std::int64_t bytes) {
  const std::int64_t now = current_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t seen = peak();
  while (seen < now && !peak_.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

namespace {
Ref<MemoryAccount>& thread_account() {
  thread_local Ref<MemoryAccount> account(new MemoryAccount);
  return account;
}

/// Blocks of at most kLargest bytes that this thread freed, kept for its next small tensors: the system's aligned
/// allocation costs more than a small op does.
class TinyBlocks {
 public:
  static constexpr std::int64_t kLargest = 1024;

  /// Null when there is none of this size (a multiple of 64).
  static std::byte* take(std::int64_t bytes) {
    const auto c = static_cast<std::size_t>(bytes / 64 - 1);
    return count[c] > 0 ? kept[c][--count[c]] : nullptr;
  }
  /// False when enough are kept, or the thread is ending.
  static bool keep(std::byte* p, std::int64_t bytes) {
    const auto c = static_cast<std::size_t>(bytes / 64 - 1);
    if (closed || count[c] == kKeep) return false;
    thread_local const AtThreadEnd at_end;
    kept[c][count[c]++] = p;
    return true;
  }

 private:
  static constexpr std::uint32_t kKeep = 64;
  struct AtThreadEnd {
    ~AtThreadEnd() {
      closed = true;
      for (std::size_t c = 0; c < count.size(); ++c)
        while (count[c] > 0) std::free(kept[c][--count[c]]);
    }
  };
  // Without constructors or destructors: tensors may be freed after everything else of a thread is gone.
  static constinit thread_local std::array<std::array<std::byte*, kKeep>, kLargest / 64> kept;
  static constinit thread_local std::array<std::uint32_t, kLargest / 64> count;
  static constinit thread_local bool closed;
};
constinit thread_local std::array<std::array<std::byte*, TinyBlocks::kKeep>, TinyBlocks::kLargest / 64>
    TinyBlocks::kept{};
constinit thread_local std::array<std::uint32_t, TinyBlocks::kLargest / 64> TinyBlocks::count{};
constinit thread_local bool TinyBlocks::closed = false;

/// Host blocks above kSmall are kept in size classes (eight per power of two) and reused: returning them to the system
/// costs a page fault per 4 KiB at the next use. When a class has none left, one of up to twice the size is lent: the
/// layers of a network, whose tensors shrink from stage to stage, then share memory. Smaller ones go to malloc, the
/// smallest through TinyBlocks.
class HostPool {
 public:
  static constexpr std::int64_t kSmall = 16 * 1024, kKeep = std::int64_t{2} << 30;

  std::byte* allocate(std::int64_t bytes) {
    if (bytes <= TinyBlocks::kLargest)
      if (std::byte* p = TinyBlocks::take(bytes)) return p;
    if (bytes <= kSmall) return from_system(bytes);
    const auto [index, size] = size_class(bytes);
    {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = index; i <= std::min(index + kPerDoubling, free_.size() - 1); ++i) {
        if (free_[i].empty()) continue;
        std::byte* p = free_[i].back();
        free_[i].pop_back();
        kept_ -= bytes_of(i);
        if (i != index) lent_.emplace(p, i);
        return p;
      }
    }
    if (std::byte* p = from_system(size)) return p;
    trim();
    return from_system(size);
  }
  void release(std::byte* p, std::int64_t bytes) {
    if (bytes <= TinyBlocks::kLargest && TinyBlocks::keep(p, bytes)) return;
    if (bytes > kSmall) {
      std::size_t index = size_class(bytes).first;
      const std::lock_guard lock(mutex_);
      if (const auto lent = lent_.find(p); lent != lent_.end()) {
        index = lent->second;
        lent_.erase(lent);
      }
      if (kept_ + bytes_of(index) <= kKeep) {
        free_[index].push_back(p);
        kept_ += bytes_of(index);
        return;
      }
    }
    std::free(p);
  }

 private:
  static constexpr std::size_t kPerDoubling = 8;

  static std::byte* from_system(std::int64_t bytes) {
    return static_cast<std::byte*>(std::aligned_alloc(64, static_cast<std::size_t>(bytes)));
  }
  /// Size of the blocks of a class.
  static std::int64_t bytes_of(std::size_t index) {
    return static_cast<std::int64_t>(index % kPerDoubling + kPerDoubling + 1) << (index / kPerDoubling - 3);
  }
  static std::pair<std::size_t, std::int64_t> size_class(std::int64_t bytes) {
    const int log = std::bit_width(static_cast<std::uint64_t>(bytes - 1)) - 1;                    // 2^log <= bytes - 1
    const std::int64_t step = std::int64_t{1} << (log - 3), eighths = (bytes + step - 1) / step;  // 9..16
    return {static_cast<std::size_t>(log) * kPerDoubling + static_cast<std::size_t>(eighths - 9), eighths * step};
  }
  void trim() {
    const std::lock_guard lock(mutex_);
    for (auto& free : free_) {
      for (std::byte* p : free) std::free(p);
      free.clear();
    }
    kept_ = 0;
  }

  std::mutex mutex_;
  std::array<std::vector<std::byte*>, 64 * kPerDoubling> free_;
  std::unordered_map<const std::byte*, std::size_t> lent_;  ///< the class of blocks that serve a smaller one
  std::int64_t kept_ = 0;
};

/// Never destroyed: tensors with static storage duration may outlive any order of destruction.
HostPool& host_pool() {
  static HostPool& pool = *new HostPool;
  return pool;
}
}  // namespace

MemoryAccount& MemoryAccount::current_account() { return *thread_account(); }

MemoryScope::MemoryScope(Ref<MemoryAccount> account) : previous_(thread_account()) { thread_account() = account; }
MemoryScope::~MemoryScope() { thread_account() = previous_; }

Ref<Storage> Storage::allocate(std::int64_t bytes, Device device) {
  if (bytes < 0 || bytes > (std::int64_t{1} << 46))
    throw MemoryError("allocate: {} bytes on {} is not a possible size", bytes, device.str());
  Ref<Storage> s(new Storage);
  s->bytes_ = bytes;
  s->device_ = device;
  s->charged_ = std::max<std::int64_t>((bytes + 63) / 64 * 64, 64);
  if (device.kind == DeviceKind::cpu) {
    s->data_ = host_pool().allocate(s->charged_);
    if (!s->data_)
      throw MemoryError(
          "allocate: the system has no {} bytes left; {} bytes are alive in tensors; use a smaller "
          "micro-batch or checkpointing",
          bytes, MemoryAccount::current_account().current());
  }
  if (device.kind == DeviceKind::emu || device.kind == DeviceKind::cuda)
    s->data_ = GpuDevice::of(device).allocate(bytes);
  s->account_ = thread_account();
  s->account_->charge(s->charged_);
  return s;
}

Storage::~Storage() {
  if (data_ && device_.kind == DeviceKind::cpu)
    host_pool().release(data_, charged_);
  else if (data_)
    GpuDevice::of(device_).release(data_);
  if (account_) account_->release_bytes(charged_);
}

}  // namespace retort
