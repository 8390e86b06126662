// io/child_process.cpp -- fork, limits, and a pipe back to the parent.
#include "io/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <fstream>

#include "io/file.h"
#include "tensor/error.h"

namespace retort {
namespace {

using Clock = std::chrono::steady_clock;

/// Exit statuses of the child; sanitizers and libraries that give up use others.
constexpr int kDone = 0, kThrew = 100, kNoLimits = 101;

/// Bytes of address space this process has mapped.
std::int64_t mapped_bytes() {
  std::int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

void set_limit(int resource, std::int64_t value) {
  rlimit limit{};
  getrlimit(static_cast<__rlimit_resource>(resource), &limit);
  const rlim_t wanted = std::min(static_cast<rlim_t>(value), limit.rlim_max);
  limit = {wanted, wanted};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) _exit(kNoLimits);
}

bool send(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

/// The child's whole life. It leaves by _exit: the parent's buffers, handlers and destructors are not its own.
[[noreturn]] void live_as_child(int reply_fd, const std::function<std::string()>& work, const ChildLimits& limits,
                                std::int64_t parent_mapped) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGTERM, SIGINT, SIGPIPE})
    ::signal(signal_number, SIG_DFL);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_CPU, limits.cpu_seconds);
  // AddressSanitizer has terabytes of address space mapped and maps more as it goes: the limit cannot hold there.
  if (!kAddressSanitizer) set_limit(RLIMIT_AS, parent_mapped + limits.memory);
  int status = kThrew;
  try {
    const std::string reply = work();
    if (send(reply_fd, reply)) status = kDone;
  } catch (const std::exception& error) {
    send(reply_fd, error.what());
  } catch (...) {
    send(reply_fd, "unknown exception");
  }
  _exit(status);
}

/// Reads until the child closes its end. Returns why it stopped earlier, or nothing.
std::string receive(int fd, std::string& reply, const ChildLimits& limits, Clock::time_point deadline) {
  char buffer[1 << 16];
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return "it took too long";
    pollfd ready{fd, POLLIN, 0};
    const int woken = ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(left, 1000)));
    if (woken < 0 && errno != EINTR) return std::strerror(errno);
    if (woken <= 0) continue;
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::strerror(errno);
    if (got == 0) return {};
    if (reply.size() + static_cast<std::size_t>(got) > limits.reply) return "its reply exceeds the limit";
    reply.append(buffer, static_cast<std::size_t>(got));
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw InternalError("child process: cannot wait for it; {}", std::strerror(errno));
  return status;
}

}  // namespace

std::string run_in_child(const std::string& where, const std::function<std::string()>& work,
                         const ChildLimits& limits) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw IoError("{}: cannot make a pipe; {}", where, std::strerror(errno));
  FileDescriptor from_child(ends[0]), to_parent(ends[1]);
  const std::int64_t mapped = mapped_bytes();
  const pid_t child = ::fork();
  if (child < 0) throw IoError("{}: cannot start a child process; {}", where, std::strerror(errno));
  if (child == 0) live_as_child(to_parent.get(), work, limits, mapped);
  to_parent = FileDescriptor();

  std::string reply;
  const auto deadline = Clock::now() + std::chrono::seconds(10 * limits.cpu_seconds);
  const std::string stopped = receive(from_child.get(), reply, limits, deadline);
  if (!stopped.empty()) ::kill(child, SIGKILL);
  const int status = wait_for(child);
  if (!stopped.empty()) throw IoError("{}: the child process reading it was stopped; {}", where, stopped);
  if (WIFSIGNALED(status))
    throw IoError(
        "{}: damaged or hostile; the child process reading it died of {}", where,
        WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? "its time limit" : strsignal(WTERMSIG(status)));
  if (WEXITSTATUS(status) == kThrew) throw IoError("{}", reply);
  if (WEXITSTATUS(status) != kDone)
    throw IoError("{}: damaged or hostile; the child process reading it gave up with status {}", where,
                  WEXITSTATUS(status));
  return reply;
}

}  // namespace retort
