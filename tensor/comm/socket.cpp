// tensor/comm/socket.cpp -- the system's calls around TCP sockets.
#include "tensor/comm/socket.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>

#include "tensor/error.h"

namespace retort {

namespace {
std::string text_of(const SocketAddress& a) { return fmt::format("{}:{}", a.host, a.port); }

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList resolve(const SocketAddress& where, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int code = getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (code != 0) throw CommError("comm: {} is no address: {}", text_of(where), gai_strerror(code));
  return {found, freeaddrinfo};
}

Socket open_socket(const addrinfo& a) {
  Socket s(::socket(a.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!s) throw CommError("comm: no socket: {}", std::strerror(errno));
  const int on = 1;
  setsockopt(s.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return s;
}

bool wait_for(int fd, short events, Deadline deadline) {
  while (true) {
    pollfd p{fd, events, 0};
    const int ready = ::poll(&p, 1, poll_time(deadline));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    if (std::chrono::steady_clock::now() >= deadline) return false;
  }
}

/// 0, or the error that the attempt ended with.
int try_connect(const Socket& s, const addrinfo& a, Deadline deadline) {
  if (::connect(s.fd(), a.ai_addr, a.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (!wait_for(s.fd(), POLLOUT, deadline)) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(s.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

template <class Get>
SocketAddress endpoint_of(const Socket& s, const Get& get) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (get(s.fd(), reinterpret_cast<sockaddr*>(&a), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&a), size, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    throw CommError("comm: a socket has no address: {}", std::strerror(errno));
  return {host, static_cast<std::uint16_t>(std::stoi(port))};
}
}  // namespace

int poll_time(Deadline deadline) {
  const double ms = std::chrono::duration<double, std::milli>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp(std::ceil(ms), 0.0, 60000.0));
}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

long Socket::read_some(std::span<std::byte> to) const {
  while (true) {
    const ssize_t n = ::recv(fd_, to.data(), to.size(), 0);
    if (n > 0) return n;
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
  }
}

long Socket::write_some(std::span<const std::byte> from) const {
  while (true) {
    const ssize_t n = ::send(fd_, from.data(), from.size(), MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
  }
}

bool Socket::read_all(std::span<std::byte> to, Deadline deadline) const {
  while (!to.empty()) {
    const long n = read_some(to);
    if (n < 0 || (n == 0 && !wait_for(fd_, POLLIN, deadline))) return false;
    to = to.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

bool Socket::write_all(std::span<const std::byte> from, Deadline deadline) const {
  while (!from.empty()) {
    const long n = write_some(from);
    if (n < 0 || (n == 0 && !wait_for(fd_, POLLOUT, deadline))) return false;
    from = from.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

Socket listen_at(const SocketAddress& where) {
  const AddressList list = resolve(where, AI_PASSIVE);
  Socket s = open_socket(*list);
  const int on = 1;
  setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(s.fd(), list->ai_addr, list->ai_addrlen) != 0 || ::listen(s.fd(), SOMAXCONN) != 0)
    throw CommError("comm: cannot listen at {}: {}", text_of(where), std::strerror(errno));
  return s;
}

Socket connect_to(const SocketAddress& where, Deadline deadline) {
  const AddressList list = resolve(where, 0);
  int error = ETIMEDOUT;
  do {
    for (const addrinfo* a = list.get(); a; a = a->ai_next) {
      Socket s = open_socket(*a);
      error = try_connect(s, *a, deadline);
      if (error == 0) return s;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (std::chrono::steady_clock::now() < deadline);
  throw CommError("comm: no connection to {}: {}", text_of(where), std::strerror(error));
}

Socket accept_from(const Socket& listener) {
  Socket s(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const int on = 1;
  if (s) setsockopt(s.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return s;
}

SocketAddress local_address(const Socket& s) { return endpoint_of(s, ::getsockname); }
SocketAddress peer_address(const Socket& s) { return endpoint_of(s, ::getpeername); }

Bell::Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!fd_) throw CommError("comm: no eventfd: {}", std::strerror(errno));
}

void Bell::ring() const noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(fd_.fd(), &one, sizeof one);
}

void Bell::silence() const noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(fd_.fd(), &count, sizeof count);
}

}  // namespace retort
