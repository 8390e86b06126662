// tensor/comm/communicator.h -- the ranks of a job talk: collectives and messages on typed spans, now or in issue
// order.
#pragma once
#include <concepts>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tensor/dtype.h"

namespace retort {

/// Elements that a collective reads (`ConstElements`) or writes: f64, f32, bf16, i64, or bytes (u8, std::byte).
template <class V>
struct ElementSpan {
  V* data = nullptr;
  DType dtype = DType::u8;
  std::int64_t count = 0;

  ElementSpan(V* first, DType type, std::int64_t n) : data(first), dtype(type), count(n) {}
  template <class T>
  ElementSpan(std::span<T> s)  // NOLINT: implicit, spans are passed as they are
      : data(s.data()), dtype(type_of<std::remove_const_t<T>>()), count(static_cast<std::int64_t>(s.size())) {}
  template <class T>
  ElementSpan(std::vector<T>& v) : ElementSpan(std::span<T>(v)) {}  // NOLINT
  template <class T>
  requires std::is_const_v<V> ElementSpan(const std::vector<T>& v) : ElementSpan(std::span<const T>(v)) {}  // NOLINT
  std::int64_t bytes() const { return count * size_of(dtype); }

 private:
  template <class T>
  static constexpr DType type_of() {
    if constexpr (std::same_as<T, std::byte>)
      return DType::u8;
    else
      return DTypeOf<T>::value;
  }
};
using Elements = ElementSpan<void>;
using ConstElements = ElementSpan<const void>;

enum class Reduction : std::uint8_t { sum, max };

/// One call, as a rank sees it. All ranks must agree on everything but the pointers.
struct Collective {
  enum class Op : std::uint8_t { all_reduce, reduce_scatter, all_gather, broadcast, barrier, message };
  Op op{};
  Reduction reduction{};
  DType dtype = DType::u8;
  std::int64_t count = 0;      ///< elements of a rank's share: what it gives, of a reduce_scatter what it gets
  int from = 0, to = 0;        ///< broadcast: `from` is the root; message: sender and receiver
  std::uint64_t sequence = 0;  ///< number among the collectives, or among the messages of the pair, from 1
  std::string tag;             ///< what it is about
  const void* in = nullptr;
  void* out = nullptr;
  /// "all_reduce(sum) of 'grad student' (f32 x 1024, number 7)".
  std::string text() const;
};

/// One of `world` ranks. Every rank calls the same collectives in the same order with the same tag (up to 80 bytes),
/// dtype, counts and roots; a difference is a CommError on all ranks that names two ranks' views. Sums are taken in the
/// order of ranks, in f32 for bf16, and are the same bits everywhere; max gives NaN where any rank has one.
///
/// Nothing waits for ever: when a rank dies, falls silent, leaves or gives up, the others throw a CommError that names
/// the rank and the collective, and every later call throws it again. What buffers hold after an error is undefined.
///
/// Calls come from one thread. Once a call was issued with `start`, all are run in issue order by a thread of the
/// communicator; the blocking ones wait for it.
class Communicator {
 public:
  virtual ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int world() const { return world_; }

  /// data <- the reduction of all ranks' data.
  void all_reduce(Elements data, Reduction how, std::string_view tag);
  /// `in` is `world` shares of out.count each; out <- the reduction of share `rank`. They must not overlap.
  void reduce_scatter(ConstElements in, Elements out, Reduction how, std::string_view tag);
  /// out <- the shares `in` of all ranks in their order. `in` may be share `rank` of `out`.
  void all_gather(ConstElements in, Elements out, std::string_view tag);
  /// data <- the root's data.
  void broadcast(Elements data, int root, std::string_view tag);
  void barrier(std::string_view tag);
  /// One message between two ranks; `send` returns when it was taken.
  void send(ConstElements data, int to, std::string_view tag);
  void recv(Elements data, int from, std::string_view tag);

  /// A call that is under way. `wait` returns when it is done and throws what it threw. A handle that goes without
  /// having been waited for makes the communicator give up, as its buffers may go with it. It goes before the
  /// communicator does.
  class Pending {
   public:
    Pending() = default;
    Pending(Pending&&) noexcept = default;
    Pending& operator=(Pending&& other) noexcept;
    ~Pending();
    void wait();

   private:
    friend class Communicator;
    struct State;
    Pending(Communicator* owner, std::shared_ptr<State> state) : owner_(owner), state_(std::move(state)) {}
    Communicator* owner_ = nullptr;
    std::shared_ptr<State> state_;
  };
  Pending start_all_reduce(Elements data, Reduction how, std::string_view tag);
  Pending start_reduce_scatter(ConstElements in, Elements out, Reduction how, std::string_view tag);
  Pending start_all_gather(ConstElements in, Elements out, std::string_view tag);
  Pending start_broadcast(Elements data, int root, std::string_view tag);

  /// Tells the other ranks why this one stops; they throw a CommError with the reason at once, and so does every later
  /// call here. From any thread.
  virtual void give_up(const std::string& reason) noexcept = 0;

  static constexpr std::size_t kLongestTag = 80;

 protected:
  Communicator(int rank, int world);
  /// Runs one collective; world > 1. Throws CommError.
  virtual void perform(const Collective& c) = 0;
  /// Ends the thread: implementations call it first in their destructors, after which nothing is performed.
  void stop() noexcept;

 private:
  Collective collective(Collective::Op op, const ConstElements& in, Elements out, std::string_view tag);
  Collective make_all_reduce(Elements data, Reduction how, std::string_view tag);
  Collective make_reduce_scatter(const ConstElements& in, Elements out, Reduction how, std::string_view tag);
  Collective make_all_gather(const ConstElements& in, Elements out, std::string_view tag);
  Collective make_broadcast(Elements data, int root, std::string_view tag);
  Collective make_message(const ConstElements& in, Elements out, int from, int to, std::string_view tag);
  void check_rank(int rank, std::string_view what) const;
  void run(const Collective& c);
  void execute(const Collective& c);
  Pending start(Collective c);
  void serve();

  int rank_, world_;
  std::uint64_t collectives_ = 0;
  std::vector<std::uint64_t> messages_;  // by the other rank
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Pending::State>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace retort
