// tensor/comm/transport.h -- bytes between pairs of ranks, and the communicator that makes collectives of them.
#pragma once
#include <chrono>
#include <functional>
#include <span>

#include "tensor/comm/communicator.h"

namespace retort {

/// How long ranks wait for each other.
struct CommOptions {
  using Duration = std::chrono::duration<double>;
  Duration timeout{30};     ///< a process from which nothing is heard for so long is given up
  Duration patience{3600};  ///< the longest wait in one call for a rank that is alive but does not come
  Duration join{120};       ///< the longest wait at the start until all ranks are there
  /// Told of a rank that has been silent for a third of `timeout`, once for each silence, by a thread of the
  /// communicator.
  std::function<void(int rank, const std::string& text)> warn = [](int, const std::string&) {};
};

/// What a transport throws: `rank` cannot be reached, and why ("has been silent for 1.2 s").
struct PeerLost {
  int rank;
  std::string why;
};

/// Ordered bytes to and from every other rank.
class Transport {
 public:
  struct Outgoing {
    int peer;
    std::span<const std::byte> bytes;
  };
  struct Incoming {
    int peer;
    std::span<std::byte> bytes;
    std::function<void()> arrived = {};  ///< called once they are there, before more is read from that peer
  };
  Transport(int rank, int world) : rank_(rank), world_(world) {}
  virtual ~Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  int rank() const { return rank_; }
  int world() const { return world_; }

  /// Moves everything, in order for each peer, all peers at once. Sizes agree on both sides, and no entry is empty.
  /// Throws PeerLost, and what `arrived` throws; it can then not be used again.
  virtual void exchange(std::span<const Outgoing> out, std::span<const Incoming> in) = 0;
  /// Tells all ranks that this one stops, and ends an exchange of its own. From any thread.
  virtual void give_up(const std::string& reason) noexcept = 0;
  /// The same at the orderly end: what was sent may still be read.
  virtual void leave() noexcept = 0;

 private:
  int rank_, world_;
};

/// Collectives over a transport with a link between any two ranks. A reduction has two rounds: each rank sends every
/// other its segment, sums its own in the order of ranks, and sends that to all. A rank moves 2 (world - 1) / world of
/// the data each way, as around a ring, and sums do not depend on how the data are cut.
class LinkCommunicator final : public Communicator {
 public:
  explicit LinkCommunicator(std::unique_ptr<Transport> transport);
  ~LinkCommunicator() override;
  void give_up(const std::string& reason) noexcept override;

 protected:
  void perform(const Collective& c) override;

 private:
  class Round;
  void reduce(const Collective& c);
  void gather(const Collective& c);
  void spread(const Collective& c);
  void message(const Collective& c);

  std::unique_ptr<Transport> transport_;
  std::mutex failure_mutex_;
  std::string failure_;
};

}  // namespace retort
