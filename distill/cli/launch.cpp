// distill/cli/launch.cpp -- the ranks of a job as processes of this machine.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "distill/cli/commands.h"
#include "distill/train/job.h"
#include "tensor/comm/socket.h"
#include "tensor/error.h"

namespace retort::cli {

namespace {
using Time = std::chrono::steady_clock;

/// Time for the others to find out about a failure by themselves and to say so.
constexpr auto kGrace = std::chrono::seconds(5);

/// The exit code of a CommError.
const int kLostAnother = CommError("").exit_code();

struct Failure {
  int code;
  std::string text;
};

struct RankChild {
  pid_t pid;
  bool running = true;
};

class Launch {
 public:
  Launch(int world, std::vector<std::string> arguments) : world_(world), arguments_(std::move(arguments)) {
    sigemptyset(&awaited_);
    for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&awaited_, s);
    sigprocmask(SIG_BLOCK, &awaited_, &before_);
  }

  int run() {
    const std::uint16_t port = local_address(listen_at({"127.0.0.1", 0})).port;
    for (int rank = 0; rank < world_; ++rank) start(rank, port);
    std::optional<Time::time_point> end;  // when those that still run are ended
    while (running() > 0) {
      const timespec wait{0, 200'000'000};
      const int signal = sigtimedwait(&awaited_, nullptr, &wait);
      if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) send(signal == SIGHUP ? SIGTERM : signal);
      collect();
      if (failure_ && !end) end = Time::now() + kGrace;
      if (end && Time::now() >= *end) {
        killing_ = true;
        send(SIGKILL);
      }
    }
    if (!failure_) return stopped_;
    std::fprintf(stderr, "retort: launch: %s\n", failure_->text.c_str());
    return failure_->code;
  }

 private:
  void start(int rank, std::uint16_t port) {
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
      send(SIGKILL);
      throw CommError("launch: rank {} does not start: {}", rank, std::strerror(errno));
    }
    if (pid == 0) become(rank, port, parent);
    children_.push_back({pid});
  }

  /// A process group of its own: a signal of the terminal comes once, through the launcher. Should the launcher die,
  /// the rank saves and stops.
  [[noreturn]] void become(int rank, std::uint16_t port, pid_t parent) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(128 + SIGTERM);
    sigprocmask(SIG_SETMASK, &before_, nullptr);
    setenv("RANK", std::to_string(rank).c_str(), 1);
    setenv("WORLD_SIZE", std::to_string(world_).c_str(), 1);
    setenv("MASTER_ADDR", "127.0.0.1", 1);
    setenv("MASTER_PORT", std::to_string(port).c_str(), 1);
    // Each rank gets its part of the cores, unless the user has said otherwise.
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency() / static_cast<unsigned>(world_));
    setenv("OMP_NUM_THREADS", std::to_string(cores).c_str(), 0);
    std::vector<char*> argv;
    for (std::string& a : arguments_) argv.push_back(a.data());
    argv.push_back(nullptr);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }

  void collect() {
    for (RankChild& child : children_) {
      int status = 0;
      if (!child.running || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
      child.running = false;
      const auto rank = &child - children_.data();
      if (WIFSIGNALED(status))
        note({128 + WTERMSIG(status), fmt::format("rank {} was ended by signal {}", rank, WTERMSIG(status))});
      else if (const int code = WEXITSTATUS(status);
               code >= 128)  // asked to stop, as all are: rank 0 may be saving yet
        stopped_ = code;
      else if (code != 0)
        note({code, fmt::format("rank {} has failed with exit code {}", rank, code)});
    }
  }

  /// Keeps the first failure, but that of a rank which only lost another gives way to a cause.
  void note(const Failure& failure) {
    if (!failure_ || (failure_->code == kLostAnother && failure.code != kLostAnother && !killing_)) failure_ = failure;
  }

  std::ptrdiff_t running() const {
    return std::count_if(children_.begin(), children_.end(), [](const RankChild& c) { return c.running; });
  }

  void send(int signal) const {
    for (const RankChild& child : children_)
      if (child.running) kill(child.pid, signal);
  }

  int world_, stopped_ = 0;
  bool killing_ = false;
  std::optional<Failure> failure_;
  std::vector<std::string> arguments_;
  std::vector<RankChild> children_;
  sigset_t awaited_{}, before_{};
};
}  // namespace

int launch(int ranks, const std::string& job, const std::vector<std::string>& overrides) {
  if (ranks < 1 || ranks > 1024) throw ConfigError("launch: -n is a number of ranks, 1 to 1024; got {}", ranks);
  const bool begun = std::filesystem::exists(std::filesystem::path(job) / "resolved.yaml");
  if (begun && !overrides.empty()) throw ConfigError("launch: {} is a run that goes on; it takes no overrides", job);
  if (!begun) open_job(job, overrides);  // one that cannot be read is refused once, not by every rank
  std::vector<std::string> arguments{"retort", begun ? "resume" : "run", job};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  return Launch(ranks, std::move(arguments)).run();
}

}  // namespace retort::cli
