// tests/tensor/comm_fault_test.cpp -- processes that are killed, stopped, strange or hostile: found in time, by name.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "tensor/comm/rendezvous.h"
#include "tensor/error.h"
#include "tests/tensor/comm_world.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Seconds = std::chrono::duration<double>;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A process that is one rank; what it writes can be read line by line.
class RankProcess {
 public:
  using Say = std::function<void(const std::string&)>;
  explicit RankProcess(const std::function<void(const Say&)>& work) {
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto say = [&](const std::string& line) {
        [[maybe_unused]] const ssize_t n = write(ends[1], (line + "\n").data(), line.size() + 1);
      };
      try {
        work(say);
      } catch (const std::exception& e) {
        say(e.what());
      }
      _exit(0);
    }
    close(ends[1]);
    out_ = Socket(ends[0]);
  }
  RankProcess(RankProcess&&) = delete;
  ~RankProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  void send(int signal) const { kill(pid_, signal); }

  /// The next line; empty after `limit` or at the end.
  std::string line(Seconds limit = Seconds(10)) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration_cast<Deadline::duration>(limit);
    std::string text;
    char c = 0;
    while (true) {
      pollfd p{out_.fd(), POLLIN, 0};
      if (poll(&p, 1, poll_time(deadline)) != 1 || read(out_.fd(), &c, 1) != 1) return "";
      if (c == '\n') return text;
      text += c;
    }
  }

 private:
  pid_t pid_ = 0;
  Socket out_;
};

/// Says "joined", then sums again and again; says what it was warned of, and ends with the error or with "done".
void sum_on(int rank, int world, std::uint16_t port, const CommOptions& given, int rounds,
            const RankProcess::Say& say) {
  CommOptions options = given;
  options.warn = [&](int, const std::string& text) { say(text); };
  const auto c = join_tcp(loopback(rank, world, port), {}, options);
  say("joined");
  std::vector<double> x(4);
  for (int i = 0; i < rounds; ++i) {
    c->all_reduce(x, Reduction::sum, "gradient");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  say("done");
}

struct Trio {
  Trio(const CommOptions& options, int rounds) {
    const std::uint16_t port = free_port();
    for (int r = 0; r < 3; ++r)
      ranks.push_back(std::make_unique<RankProcess>(
          [=](const RankProcess::Say& say) { sum_on(r, 3, port, options, rounds, say); }));
    for (const auto& rank : ranks) REQUIRE(rank->line() == "joined");
  }
  std::vector<std::unique_ptr<RankProcess>> ranks;
};

constexpr int kEndless = 1 << 30;
}  // namespace

TEST_CASE("comm fault: a killed process is found at once, and all others say rank, collective, tag and number") {
  Trio trio({}, kEndless);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto begin = std::chrono::steady_clock::now();
  trio.ranks[2]->send(SIGKILL);
  for (const int r : {0, 1}) {
    const std::string error = trio.ranks[static_cast<std::size_t>(r)]->line();
    INFO(error);
    CHECK(contains(error, "rank " + std::to_string(r) + " in all_reduce(sum) of 'gradient' (f64 x 4, number "));
    CHECK(contains(error, "rank 2 is gone"));
  }
  CHECK(Seconds(std::chrono::steady_clock::now() - begin).count() < 2);
}

TEST_CASE(
    "comm fault: a stopped process is warned of, given up after the time-out, and finds itself alone afterwards") {
  CommOptions options;
  options.timeout = Seconds(1.2);
  Trio trio(options, kEndless);
  const auto begin = std::chrono::steady_clock::now();
  trio.ranks[1]->send(SIGSTOP);
  for (const int r : {0, 2}) {
    const std::string warning = trio.ranks[static_cast<std::size_t>(r)]->line();
    INFO(warning);
    CHECK(contains(warning, "rank 1 has been silent for "));
    CHECK(contains(warning, "it is given up after 1.2 s"));
  }
  for (const int r : {0, 2}) {
    const std::string error = trio.ranks[static_cast<std::size_t>(r)]->line();
    INFO(error);
    CHECK(contains(error, "all_reduce(sum) of 'gradient' (f64 x 4, number "));
    CHECK(contains(error, "rank 1 has been silent for "));
  }
  const double seconds = Seconds(std::chrono::steady_clock::now() - begin).count();
  CHECK(seconds > 1.0);
  CHECK(seconds < 3.0);
  trio.ranks[1]->send(SIGCONT);
  const std::string error = trio.ranks[1]->line();
  INFO(error);
  CHECK(contains(error, "rank 1 in all_reduce(sum) of 'gradient'"));
}

TEST_CASE("comm fault: after a pause shorter than the time-out all go on") {
  CommOptions options;
  options.timeout = Seconds(3);
  Trio trio(options, 100);
  trio.ranks[2]->send(SIGSTOP);
  for (const int r : {0, 1}) {
    const std::string warning = trio.ranks[static_cast<std::size_t>(r)]->line();
    INFO(warning);
    CHECK(contains(warning, "rank 2 has been silent for "));
  }
  trio.ranks[2]->send(SIGCONT);
  for (const auto& rank : trio.ranks) CHECK(rank->line() == "done");
}

TEST_CASE("comm fault: a process with another job, world or rank is refused, and everyone hears what differs") {
  struct Case {
    std::function<void(TcpPlace&, JobIdentity&)> change;  ///< of rank 1
    std::string text;
  };
  const JobIdentity identity{{{"binary", 1}, {"job", 2}, {"parameters", 3}}};
  const std::vector<Case> cases{
      {[](TcpPlace&, JobIdentity& i) { i.parts[1].hash = 7; }, "rank 1 differs from rank 0 in: job"},
      {[](TcpPlace&, JobIdentity& i) { i.parts[2].hash = 7; }, "rank 1 differs from rank 0 in: parameters"},
      {[](TcpPlace&, JobIdentity& i) { i.parts.pop_back(); }, "rank 1 is another version of the program"},
      {[](TcpPlace& p, JobIdentity&) { p.world = 4; }, "rank 1 knows 4 ranks, rank 0 knows 3"},
      {[](TcpPlace& p, JobIdentity&) { p.rank = 2; }, "two processes say that they are rank 2"},
  };
  for (const Case& wrong : cases) {
    const std::uint16_t port = free_port();
    const auto errors = on_ranks(3, [&](int r) {
      TcpPlace place = loopback(r, 3, port);
      JobIdentity own = identity;
      if (r == 1) wrong.change(place, own);
      join_tcp(place, own);
    });
    for (const std::string& e : errors) {
      INFO(e);
      CHECK(contains(e, wrong.text));
    }
  }
}

TEST_CASE("comm fault: ranks that never come are named when the time for joining is over") {
  CommOptions options;
  options.join = Seconds(0.3);
  const std::uint16_t port = free_port();
  const auto errors = on_ranks(2, [&](int r) { join_tcp(loopback(2 * r, 4, port), {}, options); });
  INFO(errors[0], errors[1]);
  CHECK(contains(errors[0], "after 0.3 s there is no sign of rank 1, 3"));
  CHECK(!errors[1].empty());
  const auto alone = on_ranks(1, [&](int) { join_tcp(loopback(1, 2, port), {}, options); });
  INFO(alone[0]);
  CHECK(contains(alone[0], "no connection to 127.0.0.1:"));
}

TEST_CASE("comm fault: strangers at the door, silent or loud, disturb nobody") {
  const std::uint16_t port = free_port();
  const auto errors = on_ranks(3, [&](int r) {
    const Deadline soon = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    Socket silent, loud;
    if (r == 1) {
      silent = connect_to({"127.0.0.1", port}, soon);
      loud = connect_to({"127.0.0.1", port}, soon);
      loud.write_all(std::vector<std::byte>(5000, std::byte{'x'}), soon);
    }
    join_tcp(loopback(r, 3, port), {})->barrier("all there");
  });
  CHECK(errors == std::vector<std::string>(3));
}

TEST_CASE("comm fault: bytes that are no header or no heartbeat end the call, naming who sent them") {
  for (const bool data : {true, false}) {
    const std::uint16_t port = free_port();
    const auto errors = on_ranks(2, [&](int r) {
      if (r == 0) return join_tcp(loopback(0, 2, port), {})->barrier("hostile");
      const TcpLinks links = meet(loopback(1, 2, port), {}, {});
      const Socket& link = (data ? links.data : links.control)[0];
      const Deadline soon = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      link.write_all(std::vector<std::byte>(4096, std::byte{255}), soon);
      std::byte any;
      while (link.read_some(std::span(&any, 1)) >= 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    INFO(errors[0]);
    CHECK(
        contains(errors[0], data ? "rank 1 sent bytes that are no header" : "rank 1 sent bytes that are no heartbeat"));
  }
}

TEST_CASE("comm fault: sockets do not go on into programs that a rank starts") {
  const Socket listener = listen_at({"127.0.0.1", 0});
  const Socket to = connect_to(local_address(listener), std::chrono::steady_clock::now() + std::chrono::seconds(2));
  const Socket from = accept_from(listener);
  for (const Socket* s : {&listener, &to, &from}) {
    REQUIRE(*s);
    CHECK((fcntl(s->fd(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("comm: the environment names the place of a process, and what is missing is said") {
  const std::vector<std::string> names{"RANK",         "WORLD_SIZE",   "MASTER_ADDR",          "MASTER_PORT",
                                       "SLURM_PROCID", "SLURM_NTASKS", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"};
  const auto with = [&](const std::map<std::string, std::string>& given) {
    for (const std::string& name : names) unsetenv(name.c_str());
    for (const auto& [name, value] : given) setenv(name.c_str(), value.c_str(), 1);
    const auto place = place_from_environment();
    for (const std::string& name : names) unsetenv(name.c_str());
    return place;
  };
  CHECK(!with({}));
  CHECK(!with({{"WORLD_SIZE", "1"}, {"SLURM_NTASKS", "4"}}));
  const auto own = with({{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "2950"}});
  REQUIRE(own);
  CHECK(own->rank == 2);
  CHECK(own->world == 4);
  CHECK(own->host == "node7");
  CHECK(own->port == 2950);
  const auto slurm = with({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "3"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}});
  REQUIRE(slurm);
  CHECK(slurm->rank == 1);
  CHECK(slurm->world == 3);
  const auto mpi =
      with({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}});
  REQUIRE(mpi);
  CHECK(mpi->world == 2);
  CHECK_THROWS_AS(with({{"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}}), ConfigError);
  CHECK_THROWS_AS(with({{"WORLD_SIZE", "2"}, {"RANK", "0"}}), ConfigError);
  CHECK_THROWS_AS(with({{"WORLD_SIZE", "two"}}), ConfigError);
  CHECK_THROWS_AS(with({{"RANK", "2"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1"}}), ConfigError);
  CHECK_THROWS_AS(with({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
                  ConfigError);
}
