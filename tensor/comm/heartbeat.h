// tensor/comm/heartbeat.h -- the thread that tells the other ranks that this one lives, and notices when they do not.
#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "tensor/comm/socket.h"
#include "tensor/comm/transport.h"

namespace retort {

/// A connection to every other rank that carries beats, farewells and reasons, apart from the data: it answers while
/// the rank computes. A beat goes out ten times in `timeout`, and at least every second.
class Heartbeat {
 public:
  /// What is known of a rank that is lost.
  struct Loss {
    std::string why;
    bool at_once;  ///< it gave up or fell silent; else it ended, and what it had sent before still counts
  };
  /// `links` by rank, empty at the own one. `lost` is rung when a rank is.
  Heartbeat(int rank, std::vector<Socket> links, CommOptions options, const Bell& lost);
  ~Heartbeat();

  std::optional<Loss> loss(int rank) const;
  /// The first rank whose loss ends everything at once.
  std::optional<int> quitter() const;
  /// What became of a rank whose data connection has ended; waits half a second at most for the word to come.
  std::string why_ended(int rank) const;
  /// Says that this rank ends: with a reason when it gave up, else in order.
  void end(const std::optional<std::string>& reason) noexcept;

 private:
  struct Peer;
  void serve();
  void beat(int rank);
  void flush(int rank);
  void read(int rank);
  void judge(int rank, std::chrono::steady_clock::duration silence);
  void lose(int rank, Loss loss);

  int rank_;
  CommOptions options_;
  const Bell& lost_;
  Bell wake_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by rank
  mutable std::mutex mutex_;                  // over losses and farewell
  mutable std::condition_variable changed_;
  std::vector<std::optional<Loss>> losses_;
  std::optional<int> quitter_;
  std::string farewell_;  // a frame to be sent to all
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace retort
