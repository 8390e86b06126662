// tests/distill/child.h -- the program as a child process, to be killed, stopped and starved.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "io/file.h"
#include "retort_paths.h"

namespace retort::testing {

struct Ended {
  int exit_code = -1, signal = 0;
  std::string output;
};

/// The program as a child process, its output in a file. A write beyond `largest_file` bytes of any file fails.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& log,
        rlim_t largest_file = RLIM_INFINITY)
      : log_(log) {
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
      dup2(fd, 1);
      dup2(fd, 2);
      const rlimit limit{largest_file, largest_file};
      if (largest_file != RLIM_INFINITY) setrlimit(RLIMIT_FSIZE, &limit);
      std::vector<char*> argv{const_cast<char*>(RETORT_PROGRAM)};
      for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
      argv.push_back(nullptr);
      execv(RETORT_PROGRAM, argv.data());
      _exit(127);
    }
  }
  /// Processes that it has started and that still run, oldest first.
  std::vector<pid_t> children() const {
    std::ifstream list("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children");
    return {std::istream_iterator<pid_t>(list), {}};
  }
  void send(int signal) const { kill(pid_, signal); }
  bool ended() { return ended_ = ended_ || waitpid(pid_, &status_, WNOHANG) == pid_; }
  Ended wait() {
    if (!ended_) waitpid(pid_, &status_, 0);
    ended_ = true;
    Ended e;
    if (WIFEXITED(status_)) e.exit_code = WEXITSTATUS(status_);
    if (WIFSIGNALED(status_)) e.signal = WTERMSIG(status_);
    e.output = read_file(log_);
    return e;
  }

 private:
  pid_t pid_;
  int status_ = 0;
  bool ended_ = false;
  std::filesystem::path log_;
};

}  // namespace retort::testing
