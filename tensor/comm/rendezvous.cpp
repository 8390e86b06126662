// tensor/comm/rendezvous.cpp -- greetings of a fixed size, read from all comers at once; then the mesh of connections.
#include "tensor/comm/rendezvous.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "tensor/error.h"

namespace retort {

namespace {
using Time = std::chrono::steady_clock;

constexpr std::uint64_t kMagic = 0x31706d6f63747472;  // "rttcomp1"
constexpr std::size_t kMostParts = 8, kLongestRefusal = 1024, kMostComers = 4096;

enum class Purpose : std::uint32_t { join, data, control };

/// The first bytes of every connection.
struct Greeting {
  std::uint64_t magic = kMagic;
  Purpose purpose = Purpose::join;
  std::int32_t rank = 0, world = 0;
  std::uint32_t port = 0;   ///< where the rank listens
  std::uint64_t token = 0;  ///< of the job, once rank 0 has told it
  std::uint64_t parts = 0;
  struct Part {
    char name[24];
    std::uint64_t hash;
  } part[kMostParts] = {};
};
static_assert(std::has_unique_object_representations_v<Greeting>);

/// What rank 0 answers: a refusal's length, then its text; or 0, then the addresses of all ranks.
struct Welcome {
  std::uint64_t magic = kMagic, token = 0, refusal = 0;
};
struct AddressRecord {
  char host[64] = {};
  std::uint64_t port = 0;
};

template <class T>
std::span<const std::byte> wire_bytes(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <class T>
std::span<std::byte> wire_room(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

/// A text of a field that may lack its end.
template <std::size_t n>
std::string text_of(const char (&field)[n]) {
  return {field, strnlen(field, n)};
}

template <std::size_t n>
void put_text(char (&field)[n], const std::string& text, std::string_view what) {
  if (text.size() >= n) throw ValueError("comm: {} '{}' is longer than {} bytes", what, text, n - 1);
  std::memcpy(field, text.data(), text.size());
}

Greeting greeting_of(const TcpPlace& place, const JobIdentity& identity) {
  Greeting g;
  g.rank = place.rank;
  g.world = place.world;
  if (identity.parts.size() > kMostParts)
    throw ValueError("comm: an identity has at most {} parts; got {}", kMostParts, identity.parts.size());
  for (const auto& [name, hash] : identity.parts) {
    put_text(g.part[g.parts].name, name, "the part");
    g.part[g.parts++].hash = hash;
  }
  return g;
}

/// A listener, and those who have come but not greeted yet: nobody waits for a silent one.
class Door {
 public:
  explicit Door(Socket listener) : listener_(std::move(listener)) {}
  const Socket& listener() const { return listener_; }

  /// The next whole greeting of this protocol; none when the deadline has passed.
  std::optional<std::pair<Socket, Greeting>> next(Deadline deadline) {
    while (true) {
      for (std::size_t i = 0; i < comers_.size(); ++i) {
        Comer& c = comers_[i];
        const long n = c.socket.read_some(wire_room(c.greeting).subspan(c.read));
        c.read += static_cast<std::size_t>(std::max(n, 0L));
        const bool whole = c.read == sizeof(Greeting);
        if (n >= 0 && !whole) continue;
        Comer gone = std::move(c);
        comers_.erase(comers_.begin() + static_cast<std::ptrdiff_t>(i--));
        if (whole && gone.greeting.magic == kMagic) return std::pair{std::move(gone.socket), gone.greeting};
      }
      if (Time::now() >= deadline) return {};
      wait(deadline);
    }
  }

 private:
  struct Comer {
    Socket socket;
    Greeting greeting;
    std::size_t read = 0;
  };

  void wait(Deadline deadline) {
    std::vector<pollfd> polled{{listener_.fd(), POLLIN, 0}};
    for (const Comer& c : comers_) polled.push_back({c.socket.fd(), POLLIN, 0});
    ::poll(polled.data(), polled.size(), poll_time(deadline));
    while (Socket s = accept_from(listener_)) {
      if (comers_.size() >= kMostComers) comers_.erase(comers_.begin());
      comers_.push_back({std::move(s), {}, 0});
    }
  }

  Socket listener_;
  std::vector<Comer> comers_;
};

/// What is wrong with a process that wants to join; empty: nothing.
std::string difference(const Greeting& own, const Greeting& g, const std::vector<Socket>& there) {
  if (g.world != own.world) return fmt::format("rank {} knows {} ranks, rank 0 knows {}", g.rank, g.world, own.world);
  if (g.rank < 1 || g.rank >= own.world) return fmt::format("a process says that it is rank {}", g.rank);
  if (there[static_cast<std::size_t>(g.rank)]) return fmt::format("two processes say that they are rank {}", g.rank);
  if (g.parts != own.parts) return fmt::format("rank {} is another version of the program than rank 0", g.rank);
  for (std::size_t i = 0; i < own.parts; ++i) {
    const std::string name = text_of(own.part[i].name);
    if (text_of(g.part[i].name) != name)
      return fmt::format("rank {} is another version of the program than rank 0", g.rank);
    if (g.part[i].hash != own.part[i].hash) return fmt::format("rank {} differs from rank 0 in: {}", g.rank, name);
  }
  return {};
}

std::string missing(const std::vector<Socket>& there, int first, CommOptions::Duration waited) {
  std::vector<int> absent;
  for (int r = first; r < static_cast<int>(there.size()); ++r)
    if (!there[static_cast<std::size_t>(r)]) absent.push_back(r);
  return fmt::format("after {:.1f} s there is no sign of rank {}", waited.count(), fmt::join(absent, ", "));
}

struct Directory {
  std::uint64_t token = 0;
  std::vector<AddressRecord> addresses;  ///< by rank
};

/// Rank 0: waits for all, compares them with itself, and tells everyone the addresses, or what is wrong.
Directory receive_all(Door& door, const Greeting& own, Deadline deadline, CommOptions::Duration waited) {
  const auto world = static_cast<std::size_t>(own.world);
  Directory directory{std::random_device{}() | std::uint64_t{std::random_device{}()} << 32, {}};
  directory.addresses.resize(world);
  std::vector<Socket> there(world), refused;
  std::string problem;
  for (std::size_t present = 1; present < world; ++present) {
    auto comer = door.next(deadline);
    if (!comer) break;
    auto& [socket, greeting] = *comer;
    const std::string wrong = difference(own, greeting, there);
    if (wrong.empty()) {
      const auto rank = static_cast<std::size_t>(greeting.rank);
      put_text(directory.addresses[rank].host, peer_address(socket).host, "the address");
      directory.addresses[rank].port = greeting.port;
      there[rank] = std::move(socket);
      continue;
    }
    refused.push_back(std::move(socket));
    if (problem.empty()) problem = wrong;
    deadline = std::min(deadline, Time::now() + std::chrono::seconds(2));  // for the others to hear of it too
  }
  if (problem.empty() && std::any_of(there.begin() + 1, there.end(), [](const Socket& s) { return !s; }))
    problem = missing(there, 1, waited);
  const Welcome answer{kMagic, directory.token, std::min(problem.size(), kLongestRefusal)};
  const Deadline soon = Time::now() + std::chrono::seconds(2);
  for (auto* list : {&there, &refused})
    for (const Socket& s : *list) {
      if (!s || !s.write_all(wire_bytes(answer), soon)) continue;
      if (problem.empty())
        s.write_all(std::as_bytes(std::span(directory.addresses)), soon);
      else
        s.write_all(std::as_bytes(std::span(problem).first(answer.refusal)), soon);
    }
  if (!problem.empty()) throw CommError("comm: start of {} ranks: {}", own.world, problem);
  return directory;
}

/// Any other rank: shows itself to rank 0 and hears where the others are.
Directory ask_rank_0(const Socket& s, const Greeting& own, const TcpPlace& place, Deadline deadline) {
  Welcome answer;
  if (!s.write_all(wire_bytes(own), deadline) || !s.read_all(wire_room(answer), deadline))
    throw CommError("comm: rank {}: no answer from rank 0 at {}:{}", own.rank, place.host, place.port);
  if (answer.magic != kMagic || answer.refusal > kLongestRefusal)
    throw CommError("comm: rank {}: what answers at {}:{} is not rank 0", own.rank, place.host, place.port);
  if (answer.refusal > 0) {
    std::string text(answer.refusal, ' ');
    s.read_all(std::as_writable_bytes(std::span(text)), deadline);
    throw CommError("comm: start of {} ranks: rank {} is refused: {}", own.world, own.rank, text);
  }
  Directory directory{answer.token, std::vector<AddressRecord>(static_cast<std::size_t>(own.world))};
  if (!s.read_all(std::as_writable_bytes(std::span(directory.addresses)), deadline))
    throw CommError("comm: rank {}: rank 0 at {}:{} broke off", own.rank, place.host, place.port);
  return directory;
}
}  // namespace

TcpLinks meet(const TcpPlace& place, const JobIdentity& identity, const CommOptions& options) {
  const auto world = static_cast<std::size_t>(place.world);
  TcpLinks links{std::vector<Socket>(world), std::vector<Socket>(world)};
  if (world == 1) return links;
  const Deadline deadline = Time::now() + std::chrono::duration_cast<Time::duration>(options.join);
  Greeting own = greeting_of(place, identity);
  const SocketAddress rank_0{place.host, place.port};
  Socket lobby;
  if (place.rank > 0) lobby = connect_to(rank_0, deadline);
  Door door(listen_at(place.rank == 0 ? rank_0 : SocketAddress{local_address(lobby).host, 0}));
  own.port = local_address(door.listener()).port;
  const Directory directory =
      place.rank == 0 ? receive_all(door, own, deadline, options.join) : ask_rank_0(lobby, own, place, deadline);
  own.token = directory.token;
  for (int r = 0; r < place.rank; ++r) {
    const AddressRecord& a = directory.addresses[static_cast<std::size_t>(r)];
    const SocketAddress where = r == 0 ? rank_0 : SocketAddress{text_of(a.host), static_cast<std::uint16_t>(a.port)};
    for (const Purpose purpose : {Purpose::data, Purpose::control}) {
      Socket s = connect_to(where, deadline);
      own.purpose = purpose;
      if (!s.write_all(wire_bytes(own), deadline)) throw CommError("comm: rank {}: rank {} broke off", place.rank, r);
      (purpose == Purpose::data ? links.data : links.control)[static_cast<std::size_t>(r)] = std::move(s);
    }
  }
  for (std::size_t due = 2 * (world - 1 - static_cast<std::size_t>(place.rank)); due > 0;) {
    auto comer = door.next(deadline);
    if (!comer) throw CommError("comm: rank {}: {}", place.rank, missing(links.control, place.rank + 1, options.join));
    auto& [socket, g] = *comer;
    if (g.purpose != Purpose::data && g.purpose != Purpose::control) continue;
    if (g.token != own.token || g.rank <= place.rank || g.rank >= place.world) continue;
    Socket& link = (g.purpose == Purpose::data ? links.data : links.control)[static_cast<std::size_t>(g.rank)];
    if (link) continue;
    link = std::move(socket);
    --due;
  }
  return links;
}

}  // namespace retort
