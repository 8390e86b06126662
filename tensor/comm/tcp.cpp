// tensor/comm/tcp.cpp -- all data connections of a rank in one loop, next to the heartbeats.
#include "tensor/comm/tcp.h"

#include <poll.h>

#include <atomic>
#include <charconv>
#include <cstdlib>

#include "tensor/comm/heartbeat.h"
#include "tensor/comm/rendezvous.h"
#include "tensor/error.h"

namespace retort {

namespace {
using Time = std::chrono::steady_clock;

class TcpTransport final : public Transport {
 public:
  TcpTransport(const TcpPlace& place, TcpLinks links, const CommOptions& options)
      : Transport(place.rank, place.world),
        patience_(std::chrono::duration_cast<Time::duration>(options.patience)),
        data_(std::move(links.data)),
        heartbeat_(place.rank, std::move(links.control), options, bell_) {}

  void exchange(std::span<const Outgoing> out, std::span<const Incoming> in) override {
    std::vector<Lane> lanes(data_.size());
    for (const Outgoing& o : out) lanes[static_cast<std::size_t>(o.peer)].out.push_back(o.bytes);
    for (const Incoming& i : in) lanes[static_cast<std::size_t>(i.peer)].in.push_back(i);
    Time::time_point moved = Time::now();
    std::vector<pollfd> polled;
    std::vector<int> peers;
    while (true) {
      polled.assign(1, {bell_.fd(), POLLIN, 0});
      peers.assign(1, rank());
      for (int p = 0; p < world(); ++p) {
        const short events = lanes[static_cast<std::size_t>(p)].events();
        if (events == 0) continue;
        polled.push_back({data_[static_cast<std::size_t>(p)].fd(), events, 0});
        peers.push_back(p);
      }
      if (peers.size() == 1) return;
      check();
      const int ready = ::poll(polled.data(), polled.size(), poll_time(moved + patience_));
      if (ready == 0 && Time::now() >= moved + patience_)
        throw PeerLost{peers[1], fmt::format("has not come for {:.1f} s, though its process is alive",
                                             std::chrono::duration<double>(patience_).count())};
      if (polled[0].revents != 0) bell_.silence();
      for (std::size_t i = 1; i < polled.size(); ++i)
        if (polled[i].revents != 0 && advance(peers[i], lanes[static_cast<std::size_t>(peers[i])])) moved = Time::now();
    }
  }

  void give_up(const std::string& reason) noexcept override {
    heartbeat_.end(reason);
    ended_ = true;
    bell_.ring();
  }
  void leave() noexcept override {
    heartbeat_.end({});
    ended_ = true;
    bell_.ring();
  }

 private:
  /// What is still to be moved from and to one rank.
  struct Lane {
    std::deque<std::span<const std::byte>> out;
    std::deque<Incoming> in;
    short events() const { return static_cast<short>((in.empty() ? 0 : POLLIN) | (out.empty() ? 0 : POLLOUT)); }
  };

  void check() const {
    if (ended_) throw PeerLost{rank(), "was told to stop"};
    if (const auto quitter = heartbeat_.quitter()) throw PeerLost{*quitter, heartbeat_.loss(*quitter)->why};
  }

  /// Moves what goes now; true when anything did.
  bool advance(int peer, Lane& lane) {
    const Socket& socket = data_[static_cast<std::size_t>(peer)];
    bool moved = false;
    long n = 1;
    while (n > 0 && !lane.in.empty()) {
      Incoming& next = lane.in.front();
      n = socket.read_some(next.bytes);
      if (n < 0) throw PeerLost{peer, heartbeat_.why_ended(peer)};
      moved = moved || n > 0;
      next.bytes = next.bytes.subspan(static_cast<std::size_t>(n));
      if (!next.bytes.empty()) continue;
      if (next.arrived) next.arrived();
      lane.in.pop_front();
    }
    n = 1;
    while (n > 0 && !lane.out.empty()) {
      n = socket.write_some(lane.out.front());
      if (n < 0) throw PeerLost{peer, heartbeat_.why_ended(peer)};
      moved = moved || n > 0;
      lane.out.front() = lane.out.front().subspan(static_cast<std::size_t>(n));
      if (lane.out.front().empty()) lane.out.pop_front();
    }
    return moved;
  }

  Time::duration patience_;
  std::vector<Socket> data_;  // by rank
  Bell bell_;
  std::atomic<bool> ended_ = false;
  Heartbeat heartbeat_;
};

/// The number in a variable; none where it is not set.
std::optional<int> number_of(const char* name) {
  const char* text = std::getenv(name);
  if (!text || *text == 0) return {};
  const std::string_view given(text);
  int value = 0;
  const auto [end, error] = std::from_chars(given.data(), given.data() + given.size(), value);
  if (error != std::errc() || end != given.data() + given.size() || value < 0)
    throw ConfigError("{}: expected a number of at least 0; got '{}'", name, given);
  return value;
}
}  // namespace

std::optional<TcpPlace> place_from_environment() {
  static constexpr std::pair<const char*, const char*> starters[] = {
      {"WORLD_SIZE", "RANK"}, {"SLURM_NTASKS", "SLURM_PROCID"}, {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}};
  for (const auto& [size, number] : starters) {
    const auto world = number_of(size);
    if (!world) continue;
    if (*world <= 1) return {};
    const auto rank = number_of(number), port = number_of("MASTER_PORT");
    const char* host = std::getenv("MASTER_ADDR");
    if (!rank || !port || !host)
      throw ConfigError("{} is {}, so {}, MASTER_ADDR and MASTER_PORT must be set; hint: WORLD_SIZE=1 runs alone", size,
                        *world, number);
    if (*rank >= *world) throw ConfigError("{} is {}, which is none of {} ranks", number, *rank, *world);
    if (*port < 1 || *port > 65535) throw ConfigError("MASTER_PORT: expected a port; got {}", *port);
    return TcpPlace{*rank, *world, host, static_cast<std::uint16_t>(*port)};
  }
  return {};
}

std::unique_ptr<Communicator> join_tcp(const TcpPlace& place, const JobIdentity& identity, const CommOptions& options) {
  if (place.world < 1 || place.rank < 0 || place.rank >= place.world)
    throw ValueError("comm: ranks are 0 .. world - 1; got rank {} of {}", place.rank, place.world);
  TcpLinks links = meet(place, identity, options);
  return std::make_unique<LinkCommunicator>(std::make_unique<TcpTransport>(place, std::move(links), options));
}

}  // namespace retort
