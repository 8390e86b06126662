// tensor/comm/communicator.cpp -- checks of arguments, numbering, and the thread that runs calls in issue order.
#include "tensor/comm/communicator.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <utility>

#include "tensor/error.h"

namespace retort {

std::string Collective::text() const {
  static constexpr const char* names[] = {"all_reduce", "reduce_scatter", "all_gather", "broadcast", "barrier", ""};
  std::string what = names[static_cast<int>(op)];
  if (op == Op::all_reduce || op == Op::reduce_scatter) what += reduction == Reduction::sum ? "(sum)" : "(max)";
  if (op == Op::broadcast) what += fmt::format("(from rank {})", from);
  if (op == Op::message) what = fmt::format("message(rank {} to rank {})", from, to);
  if (op == Op::barrier) return fmt::format("{} '{}' (number {})", what, tag, sequence);
  return fmt::format("{} of '{}' ({} x {}, number {})", what, tag, name_of(dtype), count, sequence);
}

struct Communicator::Pending::State {
  Collective collective;
  bool done = false;
  std::exception_ptr error;
};

void Communicator::Pending::wait() {
  if (!state_) return;
  const std::shared_ptr<State> state = std::exchange(state_, nullptr);
  std::unique_lock lock(owner_->mutex_);
  owner_->changed_.wait(lock, [&] { return state->done; });
  if (state->error) std::rethrow_exception(state->error);
}

Communicator::Pending& Communicator::Pending::operator=(Pending&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(state_, other.state_);
  return *this;
}

Communicator::Pending::~Pending() {
  if (!state_) return;
  {
    const std::lock_guard lock(owner_->mutex_);
    if (state_->done) return;
  }
  owner_->give_up(fmt::format("{} was not waited for", state_->collective.text()));
  std::unique_lock lock(owner_->mutex_);
  owner_->changed_.wait(lock, [&] { return state_->done; });
}

Communicator::Communicator(int rank, int world)
    : rank_(rank), world_(world), messages_(static_cast<std::size_t>(std::max(world, 0))) {
  if (world < 1 || rank < 0 || rank >= world)
    throw ValueError("comm: ranks are 0 .. world - 1; got rank {} of {}", rank, world);
}

Communicator::~Communicator() { stop(); }

void Communicator::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& state : queue_) {
      state->error = std::make_exception_ptr(
          CommError("comm: {}: the communicator of rank {} has ended", state->collective.text(), rank_));
      state->done = true;
    }
    queue_.clear();
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Communicator::check_rank(int rank, std::string_view what) const {
  if (rank < 0 || rank >= world_) throw ValueError("comm: {} is rank {} of {}", what, rank, world_);
}

Collective Communicator::collective(Collective::Op op, const ConstElements& in, Elements out, std::string_view tag) {
  if (tag.size() > kLongestTag)
    throw ValueError("comm: a tag has at most {} bytes; got {} in '{}'", kLongestTag, tag.size(), tag);
  switch (out.dtype) {
    case DType::f64:
    case DType::f32:
    case DType::bf16:
    case DType::i64:
    case DType::u8:
      break;
    default:
      throw DTypeError("comm: '{}': f64, f32, bf16, i64 and bytes travel; got {}", tag, name_of(out.dtype));
  }
  if (in.dtype != out.dtype)
    throw DTypeError("comm: '{}': {} goes in and {} comes out", tag, name_of(in.dtype), name_of(out.dtype));
  Collective c;
  c.op = op;
  c.dtype = out.dtype;
  c.count = out.count;
  c.tag = tag;
  c.in = in.data;
  c.out = out.data;
  return c;
}

namespace {
void check_shares(const Collective& c, std::int64_t whole, std::int64_t share, int world) {
  if (share * world != whole)
    throw ShapeError("comm: '{}': {} elements are not {} shares of {}", c.tag, whole, world, share);
}

void check_reducible(const Collective& c) {
  if (c.dtype == DType::u8) throw DTypeError("comm: '{}': bytes are not reduced", c.tag);
}
}  // namespace

Collective Communicator::make_all_reduce(Elements data, Reduction how, std::string_view tag) {
  Collective c = collective(Collective::Op::all_reduce, {data.data, data.dtype, data.count}, data, tag);
  check_reducible(c);
  c.reduction = how;
  c.sequence = ++collectives_;
  return c;
}

Collective Communicator::make_reduce_scatter(const ConstElements& in, Elements out, Reduction how,
                                             std::string_view tag) {
  Collective c = collective(Collective::Op::reduce_scatter, in, out, tag);
  check_shares(c, in.count, out.count, world_);
  check_reducible(c);
  c.reduction = how;
  c.sequence = ++collectives_;
  return c;
}

Collective Communicator::make_all_gather(const ConstElements& in, Elements out, std::string_view tag) {
  Collective c = collective(Collective::Op::all_gather, in, out, tag);
  check_shares(c, out.count, in.count, world_);
  c.count = in.count;
  c.sequence = ++collectives_;
  return c;
}

Collective Communicator::make_broadcast(Elements data, int root, std::string_view tag) {
  check_rank(root, "the root");
  Collective c = collective(Collective::Op::broadcast, {data.data, data.dtype, data.count}, data, tag);
  c.from = root;
  c.sequence = ++collectives_;
  return c;
}

Collective Communicator::make_message(const ConstElements& in, Elements out, int from, int to, std::string_view tag) {
  const int other = from == rank_ ? to : from;
  check_rank(other, from == rank_ ? "the receiver" : "the sender");
  if (from == to) throw ValueError("comm: '{}': rank {} sends to itself", tag, from);
  Collective c = collective(Collective::Op::message, in, out, tag);
  c.from = from;
  c.to = to;
  c.sequence = ++messages_[static_cast<std::size_t>(other)];
  return c;
}

void Communicator::all_reduce(Elements data, Reduction how, std::string_view tag) {
  run(make_all_reduce(data, how, tag));
}
void Communicator::reduce_scatter(ConstElements in, Elements out, Reduction how, std::string_view tag) {
  run(make_reduce_scatter(in, out, how, tag));
}
void Communicator::all_gather(ConstElements in, Elements out, std::string_view tag) {
  run(make_all_gather(in, out, tag));
}
void Communicator::broadcast(Elements data, int root, std::string_view tag) { run(make_broadcast(data, root, tag)); }

void Communicator::barrier(std::string_view tag) {
  Collective c = collective(Collective::Op::barrier, {nullptr, DType::u8, 0}, {nullptr, DType::u8, 0}, tag);
  c.sequence = ++collectives_;
  run(c);
}

void Communicator::send(ConstElements data, int to, std::string_view tag) {
  run(make_message(data, {nullptr, data.dtype, data.count}, rank_, to, tag));
}
void Communicator::recv(Elements data, int from, std::string_view tag) {
  run(make_message({nullptr, data.dtype, data.count}, data, from, rank_, tag));
}

Communicator::Pending Communicator::start_all_reduce(Elements data, Reduction how, std::string_view tag) {
  return start(make_all_reduce(data, how, tag));
}
Communicator::Pending Communicator::start_reduce_scatter(ConstElements in, Elements out, Reduction how,
                                                         std::string_view tag) {
  return start(make_reduce_scatter(in, out, how, tag));
}
Communicator::Pending Communicator::start_all_gather(ConstElements in, Elements out, std::string_view tag) {
  return start(make_all_gather(in, out, tag));
}
Communicator::Pending Communicator::start_broadcast(Elements data, int root, std::string_view tag) {
  return start(make_broadcast(data, root, tag));
}

void Communicator::run(const Collective& c) {
  if (thread_.joinable())
    start(c).wait();
  else
    execute(c);
}

void Communicator::execute(const Collective& c) {
  if (world_ > 1) return perform(c);
  if (c.in != c.out && c.count > 0) std::memmove(c.out, c.in, static_cast<std::size_t>(c.count * size_of(c.dtype)));
}

Communicator::Pending Communicator::start(Collective c) {
  auto state = std::make_shared<Pending::State>();
  state->collective = std::move(c);
  if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(state);
  }
  changed_.notify_all();
  return {this, std::move(state)};
}

void Communicator::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<Pending::State> state = queue_.front();
    queue_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      execute(state->collective);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    state->error = error;
    state->done = true;
    changed_.notify_all();
  }
}

}  // namespace retort
