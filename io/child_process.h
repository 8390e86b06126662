// io/child_process.h -- running code that may crash, hang or eat memory in a child process with limits.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace retort {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
#endif

struct ChildLimits {
  int cpu_seconds = 20;                         ///< processor time; ten times as much by the clock
  std::int64_t memory = std::int64_t{1} << 30;  ///< bytes beyond what the parent has mapped already
  std::size_t reply = std::size_t{1} << 26;     ///< longest reply, in bytes
};

/// Runs `work` in a forked child and returns what it returned. An exception in `work`, a reply above the limit, a crash
/// or an exhausted limit becomes an IoError that starts with `where`. `work` sees a copy of this process but only the
/// calling thread: it must not wait for other threads, use OpenMP or a device. Under AddressSanitizer the child may
/// hang (up to the time limit) if other threads allocate during the fork: its allocator, unlike the C library's, is not
/// made for that. The reply is as trustworthy as the data `work` looked at: check it.
std::string run_in_child(const std::string& where, const std::function<std::string()>& work,
                         const ChildLimits& limits = {});

}  // namespace retort
