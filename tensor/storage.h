// tensor/storage.h -- devices, and the bytes behind tensors with their accounting.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/ref_count.h"

namespace retort {

/// cpu: host memory. meta: shapes and accounting only, no bytes (planning). emu, cuda: see docs/architecture.md.
enum class DeviceKind : std::uint8_t { cpu, meta, emu, cuda };
inline constexpr int kDeviceKinds = 4;
struct Device {
  DeviceKind kind = DeviceKind::cpu;
  std::int8_t index = 0;
  bool operator==(const Device&) const = default;
  std::string str() const;
};
inline constexpr Device kCpu{DeviceKind::cpu, 0};
inline constexpr Device kMeta{DeviceKind::meta, 0};

/// Bytes alive and their highest value, as charged by storages made while this account was current on their thread.
/// A storage releases to the account it was charged to, on whichever thread it dies.
class MemoryAccount : public RefCounted<MemoryAccount> {
 public:
  void charge(std::int64_t bytes);
  void release_bytes(std::int64_t bytes) { current_.fetch_sub(bytes, std::memory_order_relaxed); }
  std::int64_t current() const { return current_.load(std::memory_order_relaxed); }
  std::int64_t peak() const { return peak_.load(std::memory_order_relaxed); }
  /// Starts a new measurement: the peak becomes what is alive now.
  void reset_peak() { peak_.store(current(), std::memory_order_relaxed); }
  /// The account of the calling thread (made on first use).
  static MemoryAccount& current_account();

 private:
  std::atomic<std::int64_t> current_{0}, peak_{0};
};

/// Makes `account` current on this thread for the scope's lifetime.
class MemoryScope {
 public:
  explicit MemoryScope(Ref<MemoryAccount> account);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  Ref<MemoryAccount> previous_;
};

/// A block of bytes on one device (64-byte aligned on the host). Charged sizes are multiples of 64 bytes, equal for
/// cpu and meta, so that a run on shapes alone predicts the peak of the real one.
class Storage : public RefCounted<Storage> {
 public:
  /// Uninitialised bytes. Throws MemoryError, or DeviceError when the device is not part of this build.
  static Ref<Storage> allocate(std::int64_t bytes, Device device);
  ~Storage();

  std::byte* data() const { return data_; }  ///< null on meta
  std::int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  /// Number of writes so far, and the name of the last writer: saved tensors compare it (see autograd/tape.h).
  std::uint32_t version() const { return version_; }
  std::string_view writer() const { return writer_; }
  void mark_written(std::string_view writer) {
    ++version_;
    writer_ = writer;
  }

 private:
  Storage() = default;
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0, charged_ = 0;
  Ref<MemoryAccount> account_;
  std::string_view writer_ = "none";
  std::uint32_t version_ = 0;
  Device device_;
};

}  // namespace retort
