// tensor/comm/heartbeat.cpp -- frames of a kind, a length and a text; silence is judged after everything was read.
#include "tensor/comm/heartbeat.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "tensor/error.h"

namespace retort {

namespace {
using Time = std::chrono::steady_clock;

enum class Frame : std::uint8_t { beat = 1, left = 2, gave_up = 3 };
constexpr std::size_t kFrameHead = 3, kLongestReason = 1024;

std::string frame(Frame kind, std::string_view text = {}) {
  text = text.substr(0, kLongestReason);
  std::string bytes{static_cast<char>(kind), static_cast<char>(text.size() & 255), static_cast<char>(text.size() >> 8)};
  return bytes.append(text);
}

double seconds(Time::duration d) { return std::chrono::duration<double>(d).count(); }
}  // namespace

struct Heartbeat::Peer {
  Socket link;
  Time::time_point heard = Time::now(), told{};  ///< when bytes came, when the last beat went
  std::string in, out;
  bool warned = false, told_end = false;
};

Heartbeat::Heartbeat(int rank, std::vector<Socket> links, CommOptions options, const Bell& lost)
    : rank_(rank), options_(std::move(options)), lost_(lost), losses_(links.size()) {
  for (Socket& link : links) {
    peers_.push_back(std::make_unique<Peer>());
    peers_.back()->link = std::move(link);
  }
  thread_ = std::thread([this] { serve(); });
}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.ring();
  thread_.join();
}

std::optional<Heartbeat::Loss> Heartbeat::loss(int rank) const {
  const std::lock_guard lock(mutex_);
  return losses_[static_cast<std::size_t>(rank)];
}

std::optional<int> Heartbeat::quitter() const {
  const std::lock_guard lock(mutex_);
  return quitter_;
}

std::string Heartbeat::why_ended(int rank) const {
  std::unique_lock lock(mutex_);
  const auto& loss = losses_[static_cast<std::size_t>(rank)];
  changed_.wait_for(lock, std::chrono::milliseconds(500), [&] { return loss.has_value(); });
  return loss ? loss->why : "is gone: its connection has closed";
}

void Heartbeat::end(const std::optional<std::string>& reason) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (farewell_.empty()) farewell_ = reason ? frame(Frame::gave_up, *reason) : frame(Frame::left);
  }
  wake_.ring();
}

void Heartbeat::serve() {
  const Time::duration interval =
      std::chrono::duration_cast<Time::duration>(std::min(options_.timeout / 10, CommOptions::Duration(1)));
  std::vector<pollfd> polled;
  std::vector<int> ranks;
  while (true) {
    bool ending = false;
    std::string farewell;
    {
      const std::lock_guard lock(mutex_);
      ending = ending_;
      farewell = farewell_;
    }
    polled.assign(1, {wake_.fd(), POLLIN, 0});
    ranks.assign(1, rank_);
    const Time::time_point now = Time::now();
    for (int r = 0; r < static_cast<int>(peers_.size()); ++r) {
      Peer& p = *peers_[static_cast<std::size_t>(r)];
      if (!p.link) continue;
      if (!farewell.empty() && !std::exchange(p.told_end, true)) p.out += farewell;
      if (now - p.told >= interval) beat(r);
      flush(r);
      if (ending) ::shutdown(p.link.fd(), SHUT_WR);
      polled.push_back({p.link.fd(), static_cast<short>(p.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
      ranks.push_back(r);
    }
    if (ending) return;
    // Silence is judged by the time before the wait: what came until then has been read, also when this process stood
    // still itself.
    ::poll(polled.data(), polled.size(), poll_time(now + interval));
    wake_.silence();
    for (std::size_t i = 1; i < polled.size(); ++i)
      if (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) read(ranks[i]);
    for (std::size_t i = 1; i < ranks.size(); ++i) {
      const Peer& p = *peers_[static_cast<std::size_t>(ranks[i])];
      if (p.link && p.heard < now) judge(ranks[i], now - p.heard);
    }
  }
}

void Heartbeat::beat(int rank) {
  Peer& p = *peers_[static_cast<std::size_t>(rank)];
  p.told = Time::now();
  if (p.out.empty()) p.out = frame(Frame::beat);
}

void Heartbeat::flush(int rank) {
  Peer& p = *peers_[static_cast<std::size_t>(rank)];
  if (p.out.empty()) return;
  const long n = p.link.write_some(std::as_bytes(std::span(p.out)));
  if (n < 0)
    p.out.clear();  // reading tells what became of it
  else
    p.out.erase(0, static_cast<std::size_t>(n));
}

void Heartbeat::read(int rank) {
  Peer& p = *peers_[static_cast<std::size_t>(rank)];
  std::array<std::byte, 4096> bytes;
  const long n = p.link.read_some(bytes);
  if (n < 0) return lose(rank, {"is gone: its connection has closed", false});
  if (n == 0) return;
  p.heard = Time::now();
  p.warned = false;
  p.in.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(n));
  while (p.link && p.in.size() >= kFrameHead) {
    const auto kind = static_cast<Frame>(p.in[0]);
    const std::size_t size = static_cast<unsigned char>(p.in[1]) + 256u * static_cast<unsigned char>(p.in[2]);
    if (kind < Frame::beat || kind > Frame::gave_up || size > kLongestReason)
      return lose(rank, {"sent bytes that are no heartbeat", true});
    if (p.in.size() < kFrameHead + size) return;
    const std::string text = p.in.substr(kFrameHead, size);
    p.in.erase(0, kFrameHead + size);
    if (kind == Frame::left) return lose(rank, {"has left", false});
    if (kind == Frame::gave_up) return lose(rank, {"gave up: " + text, true});
  }
}

void Heartbeat::judge(int rank, std::chrono::steady_clock::duration silence) {
  Peer& p = *peers_[static_cast<std::size_t>(rank)];
  if (silence >= options_.timeout)
    return lose(rank, {fmt::format("has been silent for {:.1f} s", seconds(silence)), true});
  if (silence < options_.timeout / 3 || std::exchange(p.warned, true)) return;
  options_.warn(rank, fmt::format("rank {} has been silent for {:.1f} s; it is given up after {:.1f} s", rank,
                                  seconds(silence), options_.timeout.count()));
}

void Heartbeat::lose(int rank, Loss loss) {
  peers_[static_cast<std::size_t>(rank)]->link = Socket();
  {
    const std::lock_guard lock(mutex_);
    if (loss.at_once && !quitter_) quitter_ = rank;
    losses_[static_cast<std::size_t>(rank)] = std::move(loss);
  }
  changed_.notify_all();
  lost_.ring();
}

}  // namespace retort
