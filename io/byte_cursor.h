// io/byte_cursor.h -- a bounds-checked walk over bytes in memory; reading past the end is an IoError naming the place.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "tensor/error.h"

namespace retort {

/// Reads little-endian numbers and runs of bytes from the front of `bytes`, aligned or not. `where` heads every error
/// and must outlive the cursor; `what` in the calls names the field. Nothing is allocated.
class ByteCursor {
 public:
  ByteCursor(std::span<const std::byte> bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::size_t offset() const { return at_; }
  std::size_t remaining() const { return bytes_.size() - at_; }
  const std::string& where() const { return where_; }

  /// The next `count` bytes.
  std::span<const std::byte> take(std::uint64_t count, std::string_view what) {
    if (count > remaining())
      throw IoError("{}: {} at offset {} is truncated; wanted {} bytes, got {}", where_, what, at_, count, remaining());
    const auto part = bytes_.subspan(at_, static_cast<std::size_t>(count));
    at_ += part.size();
    return part;
  }
  std::string_view text(std::uint64_t count, std::string_view what) {
    const auto part = take(count, what);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  template <class T>
  requires std::is_arithmetic_v<T> T number(std::string_view what) {
    static_assert(std::endian::native == std::endian::little, "files keep numbers as they lie in memory");
    T value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }
  /// Throws IoError "WHERE: at offset N: WHY".
  [[noreturn]] void refuse(std::string_view why) const { throw IoError("{}: at offset {}: {}", where_, at_, why); }

 private:
  std::span<const std::byte> bytes_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace retort
