// tensor/comm/thread_group.cpp -- a mailbox for each pair of threads; receivers copy straight out of senders' buffers.
#include "tensor/comm/thread_group.h"

#include <algorithm>
#include <cstring>

#include "tensor/error.h"

namespace retort {

namespace {
/// Bytes that a sender offers until `done`.
struct Parcel {
  std::span<const std::byte> bytes;
  bool taken = false, done = false;
};

struct Mailboxes {
  explicit Mailboxes(int world)
      : parcels(static_cast<std::size_t>(world * world)), gone(static_cast<std::size_t>(world)) {}
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::deque<std::shared_ptr<Parcel>>> parcels;  ///< by sender and receiver
  std::vector<std::string> gone;                             ///< by rank, why nothing more comes from it
  int quitter = -1;                                          ///< the first rank that gave up
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(int rank, int world, std::shared_ptr<Mailboxes> boxes, CommOptions::Duration patience)
      : Transport(rank, world), boxes_(std::move(boxes)), patience_(patience) {}

  void exchange(std::span<const Outgoing> out, std::span<const Incoming> in) override {
    std::unique_lock lock(boxes_->mutex);
    std::vector<std::shared_ptr<Parcel>> sent;
    for (const Outgoing& o : out) {
      sent.push_back(std::make_shared<Parcel>(Parcel{o.bytes}));
      box(rank(), o.peer).push_back(sent.back());
    }
    boxes_->changed.notify_all();
    try {
      for (const Incoming& i : in) take(i, lock);
      for (std::size_t k = 0; k < sent.size(); ++k)
        await(
            out[k].peer, [&] { return sent[k]->done; }, lock);
    } catch (...) {
      withdraw(out, sent, lock);
      throw;
    }
  }

  void give_up(const std::string& reason) noexcept override { go("gave up: " + reason, rank()); }
  void leave() noexcept override { go("has left", -1); }

 private:
  std::deque<std::shared_ptr<Parcel>>& box(int from, int to) {
    return boxes_->parcels[static_cast<std::size_t>(from * world() + to)];
  }

  void go(std::string why, int quitter) noexcept {
    {
      const std::lock_guard lock(boxes_->mutex);
      if (boxes_->quitter < 0) boxes_->quitter = quitter;
      std::string& mine = boxes_->gone[static_cast<std::size_t>(rank())];
      if (mine.empty()) mine = std::move(why);
    }
    boxes_->changed.notify_all();
  }

  template <class Ready>
  void await(int peer, const Ready& ready, std::unique_lock<std::mutex>& lock) {
    const auto why = [&](int r) -> const std::string& { return boxes_->gone[static_cast<std::size_t>(r)]; };
    const auto lost = [&] { return boxes_->quitter >= 0 || !why(peer).empty() || !why(rank()).empty(); };
    const bool in_time = boxes_->changed.wait_for(lock, patience_, [&] { return ready() || lost(); });
    if (ready()) return;
    for (const int r : {rank(), boxes_->quitter, peer})
      if (r >= 0 && !why(r).empty()) throw PeerLost{r, why(r)};
    if (!in_time) throw PeerLost{peer, fmt::format("has not come for {:.1f} s", patience_.count())};
  }

  void take(const Incoming& i, std::unique_lock<std::mutex>& lock) {
    auto& waiting = box(i.peer, rank());
    await(
        i.peer, [&] { return !waiting.empty(); }, lock);
    const std::shared_ptr<Parcel> parcel = waiting.front();
    waiting.pop_front();
    if (parcel->bytes.size() != i.bytes.size())
      throw InternalError("comm: rank {} sent {} bytes where {} were due", i.peer, parcel->bytes.size(),
                          i.bytes.size());
    parcel->taken = true;
    lock.unlock();
    std::memcpy(i.bytes.data(), parcel->bytes.data(), i.bytes.size());
    lock.lock();
    parcel->done = true;
    boxes_->changed.notify_all();
    if (i.arrived) i.arrived();
  }

  /// After an error: nobody may read the buffers any more once this returns.
  void withdraw(std::span<const Outgoing> out, const std::vector<std::shared_ptr<Parcel>>& sent,
                std::unique_lock<std::mutex>& lock) {
    for (std::size_t k = 0; k < sent.size(); ++k)
      if (!sent[k]->taken) std::erase(box(rank(), out[k].peer), sent[k]);
    boxes_->changed.wait(lock, [&] {
      return std::all_of(sent.begin(), sent.end(), [](const auto& p) { return !p->taken || p->done; });
    });
  }

  std::shared_ptr<Mailboxes> boxes_;
  CommOptions::Duration patience_;
};
}  // namespace

std::vector<std::unique_ptr<Communicator>> thread_group(int world, const CommOptions& options) {
  if (world < 1) throw ValueError("thread_group: a group has ranks; got {}", world);
  auto boxes = std::make_shared<Mailboxes>(world);
  std::vector<std::unique_ptr<Communicator>> group;
  for (int r = 0; r < world; ++r)
    group.push_back(
        std::make_unique<LinkCommunicator>(std::make_unique<ThreadTransport>(r, world, boxes, options.patience)));
  return group;
}

}  // namespace retort
