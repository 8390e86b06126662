// tensor/comm/socket.h -- TCP sockets: made close-on-exec and non-blocking, every wait with a deadline.
#pragma once
#include <chrono>
#include <span>
#include <string>
#include <utility>

namespace retort {

using Deadline = std::chrono::steady_clock::time_point;
/// Milliseconds until `deadline` as poll takes them: rounded up, 0 when it has passed, at most a minute.
int poll_time(Deadline deadline);

/// Owner of a descriptor.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  /// Bytes that could be moved now: 0 when it would wait, -1 at the end of the connection or after an error of it.
  long read_some(std::span<std::byte> to) const;
  long write_some(std::span<const std::byte> from) const;
  /// All of them; false when the connection ended or the deadline passed.
  bool read_all(std::span<std::byte> to, Deadline deadline) const;
  bool write_all(std::span<const std::byte> from, Deadline deadline) const;

 private:
  int fd_ = -1;
};

/// A numeric address and port.
struct SocketAddress {
  std::string host;
  std::uint16_t port = 0;
};

/// Listens at a host name or address of this machine; port 0 is any free one. Throws CommError.
Socket listen_at(const SocketAddress& where);
/// Connects, again and again while it is refused. Throws CommError naming the address once the deadline has passed.
Socket connect_to(const SocketAddress& where, Deadline deadline);
/// A connection that has come in, or an empty socket.
Socket accept_from(const Socket& listener);
SocketAddress local_address(const Socket& s);
SocketAddress peer_address(const Socket& s);

/// A descriptor that becomes readable when `ring` is called, from any thread.
class Bell {
 public:
  Bell();
  int fd() const { return fd_.fd(); }
  void ring() const noexcept;
  void silence() const noexcept;

 private:
  Socket fd_;
};

}  // namespace retort
