// cuda_kernels/gpu_emu.cpp -- the emulated device: deferred work, run in one of the orders that its dependencies allow.
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "cuda_kernels/emulate/block.h"
#include "cuda_kernels/emulate/device.h"
#include "cuda_kernels/gpu.h"

namespace retort::gpu {

namespace {

using Number = std::int64_t;  ///< of a piece of work; -1 for none

/// A piece of work: `run` once all of `after` is done. `queue` numbers the total orders that work belongs to.
struct Work {
  const char* name = "";
  std::uint32_t queue = 0;
  std::vector<Number> after;
  std::function<void(const Toucher&)> run;
};

/// Work that is captured: numbers in `after` count within the graph.
struct Recording {
  std::vector<Work> work;
  std::vector<Number> tails;            ///< by stream; -1: not part of it
  std::vector<std::uint32_t> lanes;     ///< by stream: its queue within the graph
  std::vector<std::uint32_t> lane_map;  ///< queues of the device, one per lane, the same at every replay
  std::uint32_t lane_count = 0;
  bool alive = true;
};

struct StreamState {
  Number tail = -1;
  std::vector<Number> waits;
  std::vector<Number> captured_waits;
  std::uint32_t queue = 0;
  bool alive = true;
};

struct EventState {
  Number work = -1;
  Number captured = -1;  ///< within the recording that was open then
  int recording = -1;
  bool alive = true;
};

struct Allocation {
  std::unique_ptr<std::byte[]> bytes;
  std::unique_ptr<Region> region;
  bool pinned = false;
  bool released = false;  ///< asked for; done when the region says so
  std::size_t charged = 0;
};

class Emulator final : public Device, private Binder {
 public:
  explicit Emulator(const EmulatorOptions& options)
      : options_(options), random_(options.seed), runner_(options.schedule, options.seed + 1) {
    create_stream();
  }

  bool emulated() const override { return true; }
  Properties properties() const override { return {"emulator", 9, 0, 4, options_.total_bytes, 227 * 1024}; }
  MemoryUse memory_use() const override { return {used_, 0}; }

  void* allocate(std::size_t bytes, Stream stream) override {
    require_no_capture("allocate");
    if (bytes == 0) return nullptr;
    const std::size_t charged = size_class(bytes);
    if (used_ + charged > options_.total_bytes)
      throw OutOfMemory("allocate: the device is full; got a request of " + std::to_string(bytes) + " bytes with " +
                        std::to_string(used_) + " of " + std::to_string(options_.total_bytes) + " in use");
    used_ += charged;
    Allocation& memory = add(bytes, "an allocation");
    memory.charged = charged;
    // Other streams may touch it only after an event of this one: the allocation is work, and a write.
    Region* const region = memory.region.get();
    put(stream, "allocate", [](const Toucher&) {});
    region->claim(moments_.back());
    return region->data();
  }

  void release(void* memory, Stream stream) override {
    require_no_capture("release");
    if (memory == nullptr) return;
    Allocation& allocation = start_of("release", memory, false);
    allocation.released = true;
    put(stream, "release", [this, region = allocation.region.get(), charged = allocation.charged](const Toucher& who) {
      region->free(who);
      used_ -= charged;
      retire(*region);
    });
  }

  void trim() override {}

  void* allocate_pinned(std::size_t bytes) override {
    require_no_capture("allocate_pinned");
    Allocation& memory = add(std::max<std::size_t>(bytes, 1), "pinned memory");
    memory.pinned = true;
    return memory.region->data();
  }
  void release_pinned(void* memory) override {
    if (memory == nullptr) return;
    start_of("release_pinned", memory, true);
    synchronize();
    memory_.erase(reinterpret_cast<std::uintptr_t>(memory));
  }

  Stream create_stream() override {
    StreamState state;
    state.queue = new_queue();
    streams_.push_back(state);
    return {this, static_cast<int>(streams_.size()) - 1};
  }
  void destroy(Stream stream) override {
    synchronize(stream);
    stream_of(stream).alive = false;
  }
  Event create_event() override {
    events_.emplace_back();
    return {static_cast<int>(events_.size()) - 1};
  }
  void destroy(Event event) override { event_of(event).alive = false; }

  void record(Event event, Stream stream) override {
    EventState& e = event_of(event);
    StreamState& s = stream_of(stream);
    const int open = recording_of(stream);
    e.recording = open;
    // Waits that no work has followed yet belong to the stream's point in time too.
    if (open >= 0) {
      if (!s.captured_waits.empty()) put(stream, "join", [](const Toucher&) {});
      e.captured = recordings_[static_cast<std::size_t>(open)].tails[static_cast<std::size_t>(stream.id)];
      return;
    }
    if (!s.waits.empty()) put(stream, "join", [](const Toucher&) {});
    e.work = s.tail;
  }

  void wait(Stream stream, Event event) override {
    const EventState& e = event_of(event);
    StreamState& s = stream_of(stream);
    if (e.recording >= 0) {
      if (e.recording != open_)
        throw StateError("wait: the event was recorded in a capture that has ended; record it again");
      Recording& r = recordings_[static_cast<std::size_t>(open_)];
      join_capture(r, stream);
      s.captured_waits.push_back(e.captured);
      return;
    }
    if (recording_of(stream) >= 0)
      throw StateError("wait: a captured stream cannot wait for an event from outside of its capture");
    if (e.work >= 0) s.waits.push_back(e.work);
  }

  bool done(Event event) override {
    const Number work = settled("done", event);
    if (!finished(work)) run_one();
    return finished(work);
  }
  void synchronize(Event event) override {
    const Number work = settled("synchronize", event);
    run_until(work);
    if (work >= 0) observe(work);
  }
  void synchronize(Stream stream) override {
    StreamState& s = stream_of(stream);
    require_no_capture("synchronize");
    if (!s.waits.empty()) put(stream, "join", [](const Toucher&) {});
    run_until(s.tail);
    if (s.tail >= 0) observe(s.tail);
  }
  void synchronize() override {
    require_no_capture("synchronize");
    while (!pending_.empty()) run_one();
    for (const StreamState& s : streams_)
      if (s.tail >= 0) observe(s.tail);
  }

  void copy_to_device(void* device_memory, const void* pinned, std::size_t bytes, Stream stream) override {
    put_copy("copy_to_device", device_memory, false, pinned, true, bytes, stream);
  }
  void copy_to_host(void* pinned, const void* device_memory, std::size_t bytes, Stream stream) override {
    put_copy("copy_to_host", pinned, true, device_memory, false, bytes, stream);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override {
    put_copy("copy", to, false, from, false, bytes, stream);
  }
  void fill(void* memory, std::uint8_t byte, std::size_t bytes, Stream stream) override {
    range("fill", memory, bytes, false);
    if (bytes == 0) return;
    put(stream, "fill", [=, this](const Toucher& who) {
      region_of(memory).touch_range(memory, bytes, TouchMode::write, who);
      std::memset(memory, byte, bytes);
    });
  }
  void call(std::function<void()> function, Stream stream) override {
    put(stream, "call", [function = std::move(function)](const Toucher&) { function(); });
  }

  void call_library(const char* name, const std::string&, std::function<void()> function, std::vector<Access> ranges,
                    Stream stream) override {
    std::erase_if(ranges, [](const Access& a) { return a.bytes == 0; });
    for (const Access& a : ranges) range(name, a.memory, a.bytes, false);
    put(stream, name, [this, function = std::move(function), ranges = std::move(ranges)](const Toucher& who) {
      for (const Access& a : ranges)
        if (!a.written) region_of(a.memory).touch_range(a.memory, a.bytes, TouchMode::read, who);
      function();
      for (const Access& a : ranges)
        if (a.written) region_of(a.memory).touch_range(a.memory, a.bytes, TouchMode::write, who);
    });
  }

  void launch(const Kernel& kernel, const LaunchShape& shape, Stream stream) override {
    if (!kernel.body) throw StateError(std::string(kernel.name) + ": this kernel has no body for the emulator");
    if (shape.shared_bytes > properties().shared_bytes_per_block || shape.block.count() > 1024 ||
        shape.block.count() == 0 || shape.grid.count() == 0)
      throw StateError(std::string(kernel.name) + ": got a grid of " + std::to_string(shape.grid.count()) +
                       " blocks of " + std::to_string(shape.block.count()) + " threads with " +
                       std::to_string(shape.shared_bytes) + " bytes of shared memory; a block has 1 to 1024 threads");
    binding_ = kernel.name;
    kernel.body->bind(*this);
    put(stream, kernel.name, [this, kernel, shape](const Toucher& who) {
      binding_ = kernel.name;
      kernel.body->bind(*this);
      runner_.run({kernel.name, shape, who.moment, who.known}, [&] { kernel.body->run_thread(); });
    });
  }

  void begin_capture(Stream stream) override {
    stream_of(stream);
    require_no_capture("begin_capture");
    open_ = static_cast<int>(recordings_.size());
    origin_ = stream.id;
    recordings_.emplace_back();
    join_capture(recordings_.back(), stream);
  }
  Graph end_capture(Stream stream) override {
    stream_of(stream);
    if (open_ < 0 || stream.id != origin_)
      throw StateError("end_capture: this stream began no capture; got stream " + std::to_string(stream.id));
    if (!stream_of(stream).captured_waits.empty()) put(stream, "join", [](const Toucher&) {});
    Recording& r = recordings_[static_cast<std::size_t>(open_)];
    // Everything must come before the last work of the stream that began.
    std::set<Number> reached;
    std::vector<Number> next{r.tails[static_cast<std::size_t>(origin_)]};
    while (!next.empty()) {
      const Number n = next.back();
      next.pop_back();
      if (n < 0 || !reached.insert(n).second) continue;
      const Work& work = r.work[static_cast<std::size_t>(n)];
      next.insert(next.end(), work.after.begin(), work.after.end());
    }
    const int graph = std::exchange(open_, -1);
    if (reached.size() != r.work.size()) {
      r.alive = false;
      throw StateError("end_capture: a stream that was drawn in has work that the first stream does not wait for");
    }
    for (std::uint32_t i = 0; i < r.lane_count; ++i) r.lane_map.push_back(new_queue());
    return {graph};
  }
  void replay(Graph graph, Stream stream) override {
    Recording& r = recording_of(graph);
    require_no_capture("replay");
    put(stream, "replay", [](const Toucher&) {});
    const Number first = stream_of(stream).tail, base = static_cast<Number>(work_.size());
    for (const Work& captured : r.work) {
      Work work = captured;
      work.queue = r.lane_map[captured.queue];
      for (Number& n : work.after) n += base;
      work.after.push_back(first);
      append(std::move(work));
    }
    std::vector<Number> all;
    for (Number n = base; n < static_cast<Number>(work_.size()); ++n) all.push_back(n);
    StreamState& s = stream_of(stream);
    s.waits.insert(s.waits.end(), all.begin(), all.end());
    put(stream, "replay", [](const Toucher&) {});
  }
  void destroy(Graph graph) override { recording_of(graph).alive = false; }

 private:
  std::uint32_t new_queue() { return queues_++; }

  StreamState& stream_of(Stream stream) {
    const auto i = static_cast<std::size_t>(stream.id);
    if (stream.device != this || stream.id < 0 || i >= streams_.size() || !streams_[i].alive)
      throw StateError("stream " + std::to_string(stream.id) + " is not a stream of this device");
    return streams_[i];
  }
  EventState& event_of(Event event) {
    const auto i = static_cast<std::size_t>(event.id);
    if (event.id < 0 || i >= events_.size() || !events_[i].alive)
      throw StateError("event " + std::to_string(event.id) + " is not an event of this device");
    return events_[i];
  }
  Recording& recording_of(Graph graph) {
    const auto i = static_cast<std::size_t>(graph.id);
    if (graph.id < 0 || i >= recordings_.size() || !recordings_[i].alive || graph.id == open_)
      throw StateError("graph " + std::to_string(graph.id) + " is not a graph of this device");
    return recordings_[i];
  }
  void require_no_capture(const char* what) const {
    if (open_ >= 0) throw StateError(std::string(what) + ": not while a capture is open");
  }
  /// The open recording when the stream takes part in it, else -1.
  int recording_of(Stream stream) const {
    if (open_ < 0) return -1;
    const auto& lanes = recordings_[static_cast<std::size_t>(open_)].lanes;
    const auto i = static_cast<std::size_t>(stream.id);
    return i < lanes.size() && lanes[i] != kNoLane ? open_ : -1;
  }
  void join_capture(Recording& r, Stream stream) {
    const auto i = static_cast<std::size_t>(stream.id);
    if (r.lanes.size() <= i) {
      r.lanes.resize(i + 1, kNoLane);
      r.tails.resize(i + 1, -1);
    }
    if (r.lanes[i] == kNoLane) r.lanes[i] = r.lane_count++;
  }

  /// Puts work at the end of a stream, or of its capture.
  void put(Stream stream, const char* name, std::function<void(const Toucher&)> run) {
    StreamState& s = stream_of(stream);
    Work work{name, s.queue, {}, std::move(run)};
    if (recording_of(stream) >= 0) {
      Recording& r = recordings_[static_cast<std::size_t>(open_)];
      const auto i = static_cast<std::size_t>(stream.id);
      work.queue = r.lanes[i];
      work.after = std::exchange(s.captured_waits, {});
      work.after.push_back(r.tails[i]);
      std::erase(work.after, -1);
      r.tails[i] = static_cast<Number>(r.work.size());
      r.work.push_back(std::move(work));
      return;
    }
    work.after = std::exchange(s.waits, {});
    if (s.tail >= 0) work.after.push_back(s.tail);
    s.tail = append(std::move(work));
  }

  Number append(Work work) {
    const Number number = static_cast<Number>(work_.size());
    ClockVector known = host_knows_;
    for (const Number n : work.after) merge(known, clocks_[static_cast<std::size_t>(n)]);
    if (known.size() < queues_) known.resize(queues_, 0);
    const Moment moment{work.queue, ++lengths_[work.queue]};
    known[work.queue] = moment.at;
    moments_.push_back(moment);
    clocks_.push_back(std::move(known));
    std::erase_if(work.after, [&](Number n) { return finished(n); });
    work_.push_back(std::move(work));
    pending_.insert(number);
    return number;
  }
  static void merge(ClockVector& into, const ClockVector& other) {
    if (into.size() < other.size()) into.resize(other.size(), 0);
    for (std::size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
  }

  bool finished(Number n) const { return n < 0 || !pending_.contains(n); }
  void run_until(Number n) {
    while (!finished(n)) run_one();
  }
  /// What the host has waited for comes before all that it puts in later.
  void observe(Number n) { merge(host_knows_, clocks_[static_cast<std::size_t>(n)]); }

  void run_one() {
    std::vector<Number> ready;
    for (const Number n : pending_) {
      const Work& work = work_[static_cast<std::size_t>(n)];
      if (std::all_of(work.after.begin(), work.after.end(), [&](Number a) { return finished(a); })) ready.push_back(n);
    }
    if (ready.empty()) return;
    Number chosen = ready.front();
    if (options_.schedule == Schedule::reverse) chosen = ready.back();
    if (options_.schedule == Schedule::random) chosen = ready[random_() % ready.size()];
    const auto at = static_cast<std::size_t>(chosen);
    Work work = std::move(work_[at]);
    work_[at] = {};
    pending_.erase(chosen);
    Toucher who;
    who.moment = moments_[at];
    who.known = &clocks_[at];
    who.name = work.name;
    try {
      work.run(who);
    } catch (...) {
      // What follows would run on what is missing.
      pending_.clear();
      throw;
    }
  }

  Number settled(const char* what, Event event) {
    const EventState& e = event_of(event);
    require_no_capture(what);
    if (e.recording >= 0) throw StateError(std::string(what) + ": the event was recorded in a capture");
    return e.work;
  }

  Allocation& add(std::size_t bytes, const std::string& name) {
    Allocation memory;
    memory.bytes = std::make_unique<std::byte[]>(bytes);
    memory.region = std::make_unique<Region>(memory.bytes.get(), bytes, name);
    const auto at = reinterpret_cast<std::uintptr_t>(memory.bytes.get());
    return memory_[at] = std::move(memory);
  }
  /// Released memory keeps its address for a while, so that late uses are found.
  void retire(const Region& region) {
    retired_.push_back(reinterpret_cast<std::uintptr_t>(region.data()));
    retired_bytes_ += region.bytes();
    while (retired_bytes_ > kRetiredBytes && retired_.size() > 1) {
      const auto oldest = memory_.find(retired_.front());
      retired_bytes_ -= oldest->second.region->bytes();
      memory_.erase(oldest);
      retired_.pop_front();
    }
  }
  Allocation* holder(const void* p) {
    auto it = memory_.upper_bound(reinterpret_cast<std::uintptr_t>(p));
    if (it == memory_.begin()) return nullptr;
    --it;
    return it->second.region->contains(p) ? &it->second : nullptr;
  }
  Allocation& start_of(const char* what, const void* p, bool pinned) {
    Allocation* const memory = holder(p);
    if (!memory || memory->pinned != pinned || memory->region->data() != p)
      throw PointerError(std::string(what) + ": this is not the start of such an allocation");
    if (memory->released) throw PointerError(std::string(what) + ": this memory was released before");
    return *memory;
  }
  /// The region of [p, p + bytes), which must be device memory, or pinned.
  Region* range(const char* what, const void* p, std::size_t bytes, bool pinned) {
    if (bytes == 0) return nullptr;
    Allocation* const memory = holder(p);
    if (!memory || memory->pinned != pinned)
      throw PointerError(std::string(what) + ": wanted " + (pinned ? "pinned host memory" : "device memory") +
                         "; got " +
                         (memory ? memory->pinned ? "pinned host memory" : "device memory" : "other host memory"));
    if (memory->released) throw PointerError(std::string(what) + ": the memory was released");
    const auto first = static_cast<std::size_t>(static_cast<const std::byte*>(p) - memory->region->data());
    if (bytes > memory->region->bytes() - first)
      throw PointerError(std::string(what) + ": " + std::to_string(bytes) + " bytes from byte " +
                         std::to_string(first) + " run over an allocation of " +
                         std::to_string(memory->region->bytes()));
    return memory->region.get();
  }

  /// The region behind p when work gets there: a replay may come after the memory it was captured with has gone.
  Region& region_of(const void* p) {
    Allocation* const memory = holder(p);
    if (!memory) throw KernelFault(Fault::freed, "a replay uses memory that is gone");
    return *memory->region;
  }

  void put_copy(const char* name, void* to, bool to_pinned, const void* from, bool from_pinned, std::size_t bytes,
                Stream stream) {
    range(name, to, bytes, to_pinned);
    range(name, from, bytes, from_pinned);
    if (bytes == 0) return;
    put(stream, name, [=, this](const Toucher& who) {
      Region &target = region_of(to), &source = region_of(from);
      // The host writes its memory without telling; and copies may move bytes that were never written.
      source.touch_range(from, bytes, TouchMode::read, who, true);
      target.touch_range(to, bytes, TouchMode::write, who);
      std::memmove(to, from, bytes);
      if (!from_pinned) target.copy_written(to, source, from, bytes);
    });
  }

  Region* find(const void* p) override {
    if (p == nullptr) return nullptr;
    Allocation* const memory = holder(p);
    if (!memory || memory->pinned)
      throw PointerError(std::string(binding_) + ": an argument is host memory; kernels take device memory");
    if (memory->region->freed()) throw KernelFault(Fault::freed, std::string(binding_) + ": an argument was released");
    return memory->region.get();
  }

  static constexpr std::uint32_t kNoLane = 0xffffffffu;
  static constexpr std::size_t kRetiredBytes = std::size_t{64} << 20;

  EmulatorOptions options_;
  std::mt19937_64 random_;
  BlockRunner runner_;
  std::uint32_t queues_ = 0;
  std::map<std::uint32_t, std::uint32_t> lengths_;
  std::vector<StreamState> streams_;
  std::vector<EventState> events_;
  std::vector<Recording> recordings_;
  int open_ = -1, origin_ = -1;
  std::vector<Work> work_;
  std::vector<Moment> moments_;
  std::vector<ClockVector> clocks_;
  std::set<Number> pending_;
  ClockVector host_knows_;
  std::map<std::uintptr_t, Allocation> memory_;
  std::deque<std::uintptr_t> retired_;
  std::size_t retired_bytes_ = 0;
  std::size_t used_ = 0;
  const char* binding_ = "";
};

}  // namespace

std::size_t size_class(std::size_t bytes) {
  constexpr std::size_t kGrain = 512, kFine = 4096;
  if (bytes <= kFine) return (bytes + kGrain - 1) / kGrain * kGrain;
  std::size_t power = kFine;
  while (power * 2 < bytes) power *= 2;
  const std::size_t step = power / 4;
  return (bytes + step - 1) / step * step;
}

std::unique_ptr<Device> open_emulator(const EmulatorOptions& options) { return std::make_unique<Emulator>(options); }

}  // namespace retort::gpu
