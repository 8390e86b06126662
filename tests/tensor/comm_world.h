// tests/tensor/comm_world.h -- ranks as threads of this process, over mailboxes or over TCP on the loopback.
#pragma once
#include <functional>
#include <thread>

#include "tensor/comm/socket.h"
#include "tensor/comm/tcp.h"
#include "tensor/comm/thread_group.h"

namespace retort::testing {

inline TcpPlace loopback(int rank, int world, std::uint16_t port) { return {rank, world, "127.0.0.1", port}; }

inline std::uint16_t free_port() { return local_address(listen_at({"127.0.0.1", 0})).port; }

/// Runs `work` as every rank in a thread of its own; what each threw, or an empty text.
inline std::vector<std::string> on_ranks(int world, const std::function<void(int rank)>& work) {
  std::vector<std::string> errors(static_cast<std::size_t>(world));
  std::vector<std::thread> threads;
  for (int r = 0; r < world; ++r)
    threads.emplace_back([&, r] {
      try {
        work(r);
      } catch (const std::exception& e) {
        errors[static_cast<std::size_t>(r)] = e.what();
        if (errors[static_cast<std::size_t>(r)].empty()) errors[static_cast<std::size_t>(r)] = "an error";
      }
    });
  for (std::thread& t : threads) t.join();
  return errors;
}

enum class Over { threads, tcp };

/// The same with communicators, which go when the rank's work ends.
inline std::vector<std::string> in_world(Over over, int world, const std::function<void(Communicator&)>& work,
                                         const CommOptions& options = {}) {
  if (over == Over::tcp) {
    const std::uint16_t port = free_port();
    return on_ranks(world, [&](int r) { work(*join_tcp(loopback(r, world, port), {}, options)); });
  }
  auto group = thread_group(world, options);
  return on_ranks(world, [&](int r) {
    const std::unique_ptr<Communicator> own = std::move(group[static_cast<std::size_t>(r)]);
    work(*own);
  });
}

struct WorldCase {
  Over over;
  int world;
};
inline const std::vector<WorldCase>& all_worlds() {
  static const std::vector<WorldCase> cases{{Over::threads, 1}, {Over::threads, 2}, {Over::threads, 3},
                                            {Over::threads, 4}, {Over::threads, 8}, {Over::tcp, 1},
                                            {Over::tcp, 2},     {Over::tcp, 4}};
  return cases;
}

}  // namespace retort::testing
