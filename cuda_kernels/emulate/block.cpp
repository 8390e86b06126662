// cuda_kernels/emulate/block.cpp -- fibers, barriers and warps.
#include "cuda_kernels/emulate/block.h"

#include <algorithm>
#include <bit>
#include <boost/context/fiber.hpp>
#include <cstring>
#include <numeric>

#if defined(__SANITIZE_ADDRESS__)
#define RETORT_ASAN_FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RETORT_ASAN_FIBERS 1
#endif
#endif
#if defined(RETORT_ASAN_FIBERS)
#include <sanitizer/common_interface_defs.h>
#endif

namespace retort::gpu {

namespace {

namespace context = boost::context;

// Sanitizers make frames several times larger.
#if defined(RETORT_ASAN_FIBERS)
constexpr std::size_t kStackBytes = 256 * 1024;
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif
constexpr unsigned kMaxThreads = 1024;

/// Thrown at a switch in fibers whose block has failed, so that their frames are left in order.
struct Abandoned {};

/// AddressSanitizer is told of every change of stacks: `leave` before it, `arrive` after it.
struct StackChange {
  void* fake = nullptr;
  const void* bottom = nullptr;  ///< of the stack that control came from
  std::size_t bytes = 0;
  void leave([[maybe_unused]] const void* to, [[maybe_unused]] std::size_t to_bytes,
             [[maybe_unused]] bool last = false) {
#if defined(RETORT_ASAN_FIBERS)
    __sanitizer_start_switch_fiber(last ? nullptr : &fake, to, to_bytes);
#endif
  }
  void arrive() {
#if defined(RETORT_ASAN_FIBERS)
    __sanitizer_finish_switch_fiber(fake, &bottom, &bytes);
#endif
  }
};

/// Stacks stay with their BlockRunner::Fiber, which outlives the context.
struct BorrowedStack {
  std::byte* memory;
  context::stack_context allocate() const {
    context::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = memory + kStackBytes;
    return stack;
  }
  void deallocate(context::stack_context&) const {}
};

thread_local EmulatedThread* running = nullptr;

}  // namespace

EmulatedThread& self() { return *running; }

struct BlockRunner::Fiber {
  EmulatedThread thread;
  std::unique_ptr<std::byte[]> stack{new std::byte[kStackBytes]};
  context::fiber here, caller;
  StackChange outside, inside;
  Wait wait = Wait::finished;
  bool in_body = false;
  int line = 0;
  Collective collective;
};

BlockRunner::BlockRunner(Schedule schedule, std::uint64_t seed) : schedule_(schedule), random_(seed) {}

BlockRunner::~BlockRunner() {
  // Idle fibers leave their loops, so that nothing stays on their stacks.
  quit_ = true;
  for (const auto& fiber : fibers_)
    if (fiber->here) resume(*fiber);
}

void BlockRunner::resume(Fiber& fiber) {
  EmulatedThread* const before = running;
  running = &fiber.thread;
  if (!fiber.here) {
    fiber.here =
        context::fiber(std::allocator_arg, BorrowedStack{fiber.stack.get()}, [this, &fiber](context::fiber&& from) {
          fiber.inside.arrive();
          fiber.caller = std::move(from);
          while (!quit_) {
            fiber.in_body = true;
            try {
              (*body_)();
            } catch (const Abandoned&) {
            } catch (...) {
              if (!error_) error_ = std::current_exception();
            }
            fiber.in_body = false;
            fiber.wait = Wait::finished;
            suspend(fiber);
          }
          fiber.inside.leave(fiber.inside.bottom, fiber.inside.bytes, true);
          return std::move(fiber.caller);
        });
  }
  fiber.outside.leave(fiber.stack.get(), kStackBytes);
  fiber.here = std::move(fiber.here).resume();
  fiber.outside.arrive();
  running = before;
}

void BlockRunner::suspend(Fiber& fiber) {
  fiber.inside.leave(fiber.inside.bottom, fiber.inside.bytes);
  fiber.caller = std::move(fiber.caller).resume();
  fiber.inside.arrive();
  if (abandon_ && fiber.in_body) throw Abandoned{};
}

void BlockRunner::run(const Work& work, const std::function<void()>& body) {
  const Extent grid = work.shape.grid;
  count_ = static_cast<std::size_t>(work.shape.block.count());
  if (count_ == 0 || count_ > kMaxThreads || grid.count() == 0)
    throw StateError(std::string(work.name) + ": a grid of " + std::to_string(grid.count()) + " blocks of " +
                     std::to_string(count_) + " threads cannot be run; blocks have 1 to 1024 threads");
  while (fibers_.size() < count_) fibers_.push_back(std::make_unique<Fiber>());
  body_ = &body;
  shared_.clear();
  dynamic_bytes_ = std::make_unique<std::byte[]>(work.shape.shared_bytes);
  dynamic_ = std::make_unique<Region>(dynamic_bytes_.get(), work.shape.shared_bytes, "dynamic shared memory");

  blocks_.resize(static_cast<std::size_t>(grid.count()));
  std::iota(blocks_.begin(), blocks_.end(), 0);
  if (schedule_ == Schedule::reverse) std::reverse(blocks_.begin(), blocks_.end());
  if (schedule_ == Schedule::random) std::shuffle(blocks_.begin(), blocks_.end(), random_);
  for (const std::uint64_t b : blocks_) {
    const Extent index{static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                       static_cast<unsigned>(b / grid.x / grid.y)};
    run_block(work, index, static_cast<std::uint32_t>(b));
  }
}

void BlockRunner::order_threads(std::size_t count) {
  if (order_.size() != count) {
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0u);
    if (schedule_ == Schedule::reverse) std::reverse(order_.begin(), order_.end());
  }
  if (schedule_ == Schedule::random) std::shuffle(order_.begin(), order_.end(), random_);
}

void BlockRunner::run_block(const Work& work, Extent index, std::uint32_t number) {
  for (SharedRange& range : shared_) range.region->reset();
  dynamic_->reset();
  for (std::uint32_t t = 0; t < count_; ++t) {
    Fiber& fiber = *fibers_[t];
    EmulatedThread& thread = fiber.thread;
    const Extent extent = work.shape.block;
    thread = EmulatedThread{};
    thread.moment = work.moment;
    thread.known = work.known;
    thread.name = work.name;
    thread.block = number;
    thread.thread = t;
    thread.thread_index = {t % extent.x, t / extent.x % extent.y, t / extent.x / extent.y};
    thread.block_index = index;
    thread.block_extent = extent;
    thread.grid_extent = work.shape.grid;
    thread.runner = this;
    fiber.wait = Wait::ready;
  }
  for (;;) {
    order_threads(count_);
    bool moved = false;
    for (const std::uint32_t t : order_) {
      Fiber& fiber = *fibers_[t];
      if (fiber.wait != Wait::ready) continue;
      moved = true;
      resume(fiber);
      if (error_) break;
      if (fiber.wait == Wait::warp) answer_warp(t);
      if (error_) break;
    }
    if (error_) break;
    if (moved) continue;
    const auto begin = fibers_.begin(), end = begin + static_cast<std::ptrdiff_t>(count_);
    if (std::all_of(begin, end, [](const auto& f) { return f->wait == Wait::finished; })) return;
    try {
      release_barrier(work.name, number);
    } catch (const KernelFault&) {
      error_ = std::current_exception();
      break;
    }
  }
  // The other threads leave their bodies, so that the fibers can be used again.
  const std::exception_ptr error = std::exchange(error_, nullptr);
  abandon_ = true;
  for (std::size_t t = 0; t < count_; ++t)
    if (fibers_[t]->in_body) resume(*fibers_[t]);
  abandon_ = false;
  error_ = nullptr;
  std::rethrow_exception(error);
}

std::string BlockRunner::threads_in(Wait wait) const {
  std::string list;
  for (std::size_t t = 0; t < count_; ++t) {
    const auto there = [&](std::size_t i) { return i < count_ && fibers_[i]->wait == wait; };
    if (!there(t)) continue;
    std::size_t last = t;
    while (there(last + 1)) ++last;
    list += (list.empty() ? "" : ", ") + std::to_string(t) + (last > t ? "-" + std::to_string(last) : "");
    t = last;
  }
  return list.empty() ? "none" : list;
}

void BlockRunner::release_barrier(const char* name, std::uint32_t number) {
  const auto where = [&] { return std::string(name) + ": block " + std::to_string(number) + ": "; };
  const auto fates = [this] {
    return "threads at a barrier: " + threads_in(Wait::barrier) +
           "; in a collective of their warp: " + threads_in(Wait::warp) + "; finished: " + threads_in(Wait::finished);
  };
  const Fiber& first = *fibers_[0];
  for (std::size_t t = 0; t < count_; ++t) {
    const Fiber& fiber = *fibers_[t];
    if (fiber.wait == Wait::warp)
      throw KernelFault(Fault::divergent_warp, where() + fiber.collective.what + " of line " +
                                                   std::to_string(fiber.collective.line) +
                                                   " waits for lanes of its mask that do not come; " + fates());
    if (fiber.wait == Wait::finished)
      throw KernelFault(Fault::divergent_barrier, where() + "not all threads come to the barrier; " + fates());
    if (fiber.line != first.line)
      throw KernelFault(Fault::divergent_barrier, where() + "threads wait at different barriers: thread 0 at line " +
                                                      std::to_string(first.line) + ", thread " + std::to_string(t) +
                                                      " at line " + std::to_string(fiber.line));
  }
  for (std::size_t t = 0; t < count_; ++t) {
    ++fibers_[t]->thread.barriers;
    fibers_[t]->wait = Wait::ready;
  }
}

void BlockRunner::sync_block(int line) {
  Fiber& fiber = *fibers_[self().thread];
  fiber.line = line;
  fiber.wait = Wait::barrier;
  suspend(fiber);
}

void BlockRunner::meet(const Collective& collective) {
  Fiber& fiber = *fibers_[self().thread];
  if ((collective.mask >> self().lane() & 1u) == 0)
    throw KernelFault(Fault::divergent_warp, std::string(self().name) + ": block " + std::to_string(self().block) +
                                                 ", thread " + std::to_string(self().thread) + ": " + collective.what +
                                                 " of line " + std::to_string(collective.line) +
                                                 ": the mask leaves out the calling lane");
  fiber.collective = collective;
  fiber.wait = Wait::warp;
  suspend(fiber);
}

/// Lets the lanes of the thread's mask go when it was the last to come.
void BlockRunner::answer_warp(std::uint32_t thread) {
  const std::uint32_t first = thread / 32 * 32;
  const std::uint32_t lanes = std::min<std::uint32_t>(32, static_cast<std::uint32_t>(count_) - first);
  const Collective& asked = fibers_[thread]->collective;
  void* payloads[32] = {};
  for (std::uint32_t other = 0; other < 32; ++other) {
    if ((asked.mask >> other & 1u) == 0) continue;
    if (other >= lanes) return;
    const Fiber& fiber = *fibers_[first + other];
    if (fiber.wait != Wait::warp || fiber.collective.mask != asked.mask || fiber.collective.line != asked.line) return;
    payloads[other] = fiber.collective.payload;
  }
  if (asked.finish) asked.finish(payloads, asked.mask);
  const std::uint32_t mask = asked.mask, all = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1u;
  const bool synchronises = asked.finish == nullptr;
  for (std::uint32_t other = 0; other < lanes; ++other) {
    if ((mask >> other & 1u) == 0) continue;
    fibers_[first + other]->wait = Wait::ready;
    // Barriers of part of a warp order less than the shadow can note; they count as none.
    if (synchronises && (mask & all) == all) ++fibers_[first + other]->thread.warp_syncs;
  }
}

Region& BlockRunner::shared(const void* site, std::size_t bytes) {
  for (const SharedRange& range : shared_)
    if (range.site == site) return *range.region;
  SharedRange range{site, std::make_unique<std::byte[]>(bytes), nullptr};
  range.region = std::make_unique<Region>(range.bytes.get(), bytes, "shared memory");
  shared_.push_back(std::move(range));
  return *shared_.back().region;
}

}  // namespace retort::gpu
