// tensor/comm/transport.cpp -- headers that tell ranks what the others are doing, and collectives as rounds of
// messages.
#include "tensor/comm/transport.h"

#include <array>
#include <cmath>
#include <cstring>
#include <optional>

#include "tensor/error.h"

namespace retort {

namespace {
constexpr std::uint32_t kMagic = 0x72746331;  // "rtc1"

/// What stands before the bytes of every call, in both directions of every pair that takes part.
struct Header {
  std::uint32_t magic;
  std::uint8_t op, reduction, dtype, tag_size;
  std::int32_t from, to;
  std::int64_t count;
  std::uint64_t sequence;
  char tag[Communicator::kLongestTag];
};
static_assert(std::has_unique_object_representations_v<Header>);

Header header_of(const Collective& c) {
  Header h{kMagic,
           static_cast<std::uint8_t>(c.op),
           static_cast<std::uint8_t>(c.reduction),
           static_cast<std::uint8_t>(c.dtype),
           static_cast<std::uint8_t>(c.tag.size()),
           c.from,
           c.to,
           c.count,
           c.sequence,
           {}};
  std::memcpy(h.tag, c.tag.data(), c.tag.size());
  return h;
}

/// None where the bytes are no header.
std::optional<Collective> read_header(const Header& h) {
  if (h.magic != kMagic || h.op > static_cast<std::uint8_t>(Collective::Op::message) ||
      h.reduction > static_cast<std::uint8_t>(Reduction::max) || h.dtype >= kDTypes ||
      h.tag_size > Communicator::kLongestTag)
    return {};
  Collective c;
  c.op = static_cast<Collective::Op>(h.op);
  c.reduction = static_cast<Reduction>(h.reduction);
  c.dtype = static_cast<DType>(h.dtype);
  c.from = h.from;
  c.to = h.to;
  c.count = h.count;
  c.sequence = h.sequence;
  c.tag.assign(h.tag, h.tag_size);
  return c;
}

template <class T>
T combine(Reduction how, T a, T b) {
  if (how == Reduction::max) {
    if constexpr (std::is_floating_point_v<T>)
      if (std::isnan(b)) return b;
    return a < b ? b : a;
  }
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else
    return a + b;
}

/// out[i] = rows[0][i] + rows[1][i] + .., from the left; `out` may be one of the rows.
template <class T, class Sum = T>
void reduce_rows(std::span<const std::byte* const> rows, std::byte* to, std::int64_t count, Reduction how) {
  constexpr std::int64_t block = 2048;
  std::array<Sum, block> sums;
  for (std::int64_t begin = 0; begin < count; begin += block) {
    const std::int64_t n = std::min(block, count - begin);
    const auto at = [&](const std::byte* row) { return reinterpret_cast<const T*>(row) + begin; };
    const T* first = at(rows[0]);
    for (std::int64_t i = 0; i < n; ++i) sums[static_cast<std::size_t>(i)] = static_cast<Sum>(first[i]);
    for (const std::byte* other : rows.subspan(1)) {
      const T* row = at(other);
      for (std::int64_t i = 0; i < n; ++i) {
        Sum& sum = sums[static_cast<std::size_t>(i)];
        sum = combine(how, sum, static_cast<Sum>(row[i]));
      }
    }
    T* out = reinterpret_cast<T*>(to) + begin;
    for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(sums[static_cast<std::size_t>(i)]);
  }
}

void reduce_rows(DType dtype, std::span<const std::byte* const> rows, std::byte* to, std::int64_t count,
                 Reduction how) {
  switch (dtype) {
    case DType::f64:
      return reduce_rows<double>(rows, to, count, how);
    case DType::f32:
      return reduce_rows<float>(rows, to, count, how);
    case DType::bf16:
      return reduce_rows<BFloat16, float>(rows, to, count, how);
    case DType::i64:
      return reduce_rows<std::int64_t>(rows, to, count, how);
    default:
      throw InternalError("comm: no reduction of {}", name_of(dtype));
  }
}
}  // namespace

/// What one rank sends and receives at a time.
class LinkCommunicator::Round {
 public:
  explicit Round(Transport& transport) : transport_(transport) {}

  void send(int peer, const std::byte* data, std::int64_t bytes) {
    if (bytes > 0) out_.push_back({peer, {data, static_cast<std::size_t>(bytes)}});
  }
  void receive(int peer, std::byte* data, std::int64_t bytes) {
    if (bytes > 0) in_.push_back({peer, {data, static_cast<std::size_t>(bytes)}});
  }
  /// Begins the links to `peers` with headers, both ways.
  void greet(const Collective& c, const std::vector<int>& peers) {
    own_ = header_of(c);
    headers_.resize(peers.size());
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const int peer = peers[i];
      out_.push_back({peer, std::as_bytes(std::span(&own_, 1))});
      in_.push_back({peer, std::as_writable_bytes(std::span(&headers_[i], 1)),
                     [this, &c, peer, i] { check(c, peer, headers_[i]); }});
    }
  }
  void run() { transport_.exchange(out_, in_); }

 private:
  static void check(const Collective& c, int peer, const Header& theirs) {
    const auto other = read_header(theirs);
    if (!other) throw PeerLost{peer, "sent bytes that are no header of a collective"};
    const Header ours = header_of(c);
    if (std::memcmp(&ours, &theirs, sizeof(Header)) == 0) return;
    throw PeerLost{peer, fmt::format("is in {}; all ranks must make the same calls in the same order", other->text())};
  }
  Transport& transport_;
  Header own_{};
  std::vector<Header> headers_;
  std::vector<Transport::Outgoing> out_;
  std::vector<Transport::Incoming> in_;
};

LinkCommunicator::LinkCommunicator(std::unique_ptr<Transport> transport)
    : Communicator(transport->rank(), transport->world()), transport_(std::move(transport)) {}

LinkCommunicator::~LinkCommunicator() {
  transport_->leave();
  stop();
}

void LinkCommunicator::give_up(const std::string& reason) noexcept {
  {
    const std::lock_guard lock(failure_mutex_);
    if (!failure_.empty()) return;
    failure_ = reason;
  }
  transport_->give_up(reason);
}

void LinkCommunicator::perform(const Collective& c) {
  const std::string place = fmt::format("rank {} in {}", rank(), c.text());
  {
    const std::lock_guard lock(failure_mutex_);
    if (!failure_.empty()) throw CommError("comm: {}: this rank gave up before: {}", place, failure_);
  }
  try {
    switch (c.op) {
      case Collective::Op::all_reduce:
      case Collective::Op::reduce_scatter:
        return reduce(c);
      case Collective::Op::all_gather:
        return gather(c);
      case Collective::Op::broadcast:
      case Collective::Op::barrier:
        return spread(c);
      case Collective::Op::message:
        return message(c);
    }
  } catch (const PeerLost& lost) {
    const std::string what = fmt::format("{}: rank {} {}", place, lost.rank, lost.why);
    give_up(what);
    throw CommError("comm: {}", what);
  }
}

namespace {
std::vector<int> others(const Communicator& c) {
  std::vector<int> ranks;
  for (int r = 0; r < c.world(); ++r)
    if (r != c.rank()) ranks.push_back(r);
  return ranks;
}
}  // namespace

void LinkCommunicator::reduce(const Collective& c) {
  const bool all = c.op == Collective::Op::all_reduce;
  const std::int64_t size = size_of(c.dtype), whole = all ? c.count : c.count * world();
  const auto begin = [&](int r) { return whole / world() * r + std::min<std::int64_t>(r, whole % world()); };
  const auto bytes = [&](int r) { return (begin(r + 1) - begin(r)) * size; };
  const auto* in = static_cast<const std::byte*>(c.in);
  auto* out = static_cast<std::byte*>(c.out);
  const std::vector<int> peers = others(*this);
  const std::int64_t own = bytes(rank());
  const auto scratch = std::make_unique_for_overwrite<std::byte[]>(peers.size() * static_cast<std::size_t>(own));
  std::vector<const std::byte*> rows(static_cast<std::size_t>(world()), in + begin(rank()) * size);

  Round there(*transport_);
  there.greet(c, peers);
  for (std::size_t i = 0; i < peers.size(); ++i) {
    there.send(peers[i], in + begin(peers[i]) * size, bytes(peers[i]));
    std::byte* row = scratch.get() + static_cast<std::int64_t>(i) * own;
    there.receive(peers[i], row, own);
    rows[static_cast<std::size_t>(peers[i])] = row;
  }
  there.run();
  std::byte* sum = all ? out + begin(rank()) * size : out;
  reduce_rows(c.dtype, rows, sum, own / size, c.reduction);
  if (!all) return;

  Round back(*transport_);
  for (const int peer : peers) {
    back.send(peer, sum, own);
    back.receive(peer, out + begin(peer) * size, bytes(peer));
  }
  back.run();
}

void LinkCommunicator::gather(const Collective& c) {
  const std::int64_t bytes = c.count * size_of(c.dtype);
  auto* out = static_cast<std::byte*>(c.out);
  const auto* in = static_cast<const std::byte*>(c.in);
  const std::vector<int> peers = others(*this);
  Round round(*transport_);
  round.greet(c, peers);
  for (const int peer : peers) {
    round.send(peer, in, bytes);
    round.receive(peer, out + peer * bytes, bytes);
  }
  round.run();
  if (bytes > 0 && in != out + rank() * bytes) std::memcpy(out + rank() * bytes, in, static_cast<std::size_t>(bytes));
}

/// From the root to all; a barrier has headers alone.
void LinkCommunicator::spread(const Collective& c) {
  const std::int64_t bytes = c.count * size_of(c.dtype);
  const std::vector<int> peers = others(*this);
  Round round(*transport_);
  round.greet(c, peers);
  if (rank() == c.from)
    for (const int peer : peers) round.send(peer, static_cast<const std::byte*>(c.in), bytes);
  else
    round.receive(c.from, static_cast<std::byte*>(c.out), bytes);
  round.run();
}

void LinkCommunicator::message(const Collective& c) {
  const std::int64_t bytes = c.count * size_of(c.dtype);
  const bool sending = rank() == c.from;
  Round round(*transport_);
  round.greet(c, {sending ? c.to : c.from});
  if (sending)
    round.send(c.to, static_cast<const std::byte*>(c.in), bytes);
  else
    round.receive(c.from, static_cast<std::byte*>(c.out), bytes);
  round.run();
}

}  // namespace retort
