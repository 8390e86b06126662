// cuda_kernels/recorder.h -- work that is noted before it is run, so that what repeats is replayed from captures.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cuda_kernels/gpu.h"

namespace retort::gpu {

/// A piece of noted work. Two pieces are the same when they would do the same: kernel, shape, addresses, values. Of an
/// upload the bytes are left out; they are a slot, filled anew for every replay.
struct Piece {
  const char* name = "";
  std::vector<std::uint64_t> identity;                     ///< everything but the name, in words
  std::vector<std::size_t> ends;                           ///< of a launch: where the words of each argument end
  std::function<void(Device& device, Stream stream)> put;  ///< empty: an upload
  void* to = nullptr;
  std::vector<std::byte> bytes;
  bool same(const Piece& other) const { return identity == other.identity && std::string_view(name) == other.name; }
};
using Section = std::vector<Piece>;

/// The first difference of two sections in words: "piece 12, scale_strided<T>: argument 3 differs".
std::string difference(const Section& before, const Section& now);

/// A device in front of another: it notes launches, copies and fills instead of running them. Everything else is not
/// allowed meanwhile: StateError.
class Recorder final : public Device {
 public:
  explicit Recorder(Device& device) : device_(device) {}

  /// Notes a copy of these bytes, which are taken at once, to device memory.
  void upload(void* to, const void* from, std::size_t bytes);
  std::size_t size() const { return noted_.size(); }
  Section take();

  bool emulated() const override { return device_.emulated(); }
  Properties properties() const override { return device_.properties(); }
  MemoryUse memory_use() const override { return device_.memory_use(); }
  void launch(const Kernel& kernel, const LaunchShape& shape, Stream stream) override;
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override;
  void fill(void* memory, std::uint8_t byte, std::size_t bytes, Stream stream) override;
  void call_library(const char* name, const std::string& settings, std::function<void()> function,
                    std::vector<Access> ranges, Stream stream) override;

  void* allocate(std::size_t, Stream) override { refuse("allocate"); }
  void release(void*, Stream) override { refuse("release"); }
  void trim() override { refuse("trim"); }
  void* allocate_pinned(std::size_t) override { refuse("allocate_pinned"); }
  void release_pinned(void*) override { refuse("release_pinned"); }
  Stream create_stream() override { refuse("create_stream"); }
  void destroy(Stream) override { refuse("destroy"); }
  Event create_event() override { refuse("create_event"); }
  void destroy(Event) override { refuse("destroy"); }
  void record(Event, Stream) override { refuse("record"); }
  void wait(Stream, Event) override { refuse("wait"); }
  bool done(Event) override { refuse("done"); }
  void synchronize(Event) override { refuse("synchronize"); }
  void synchronize(Stream) override { refuse("synchronize"); }
  void synchronize() override { refuse("synchronize"); }
  void copy_to_device(void*, const void*, std::size_t, Stream) override { refuse("copy_to_device"); }
  void copy_to_host(void*, const void*, std::size_t, Stream) override { refuse("copy_to_host"); }
  void call(std::function<void()>, Stream) override { refuse("call"); }
  void begin_capture(Stream) override { refuse("begin_capture"); }
  Graph end_capture(Stream) override { refuse("end_capture"); }
  void replay(Graph, Stream) override { refuse("replay"); }
  void destroy(Graph) override { refuse("destroy"); }

 private:
  [[noreturn]] static void refuse(const char* what);
  Piece& note(const char* name, std::function<void(Device&, Stream)> put);

  Device& device_;
  Section noted_;
};

/// Copies bytes of the host to device memory in stream order, where they are not captured.
using Upload = std::function<void(void* to, const void* from, std::size_t bytes)>;
/// Runs a section piece by piece.
void run_eagerly(const Section& section, Device& device, Stream stream, const Upload& upload);

/// Captured sections. A section that was run before is captured when it comes again, and replayed from then on: it is
/// compared with the capture piece by piece first, so that a replay does what the section would have done. Uploads are
/// captured as copies from pinned slots of the graph's own. When there are `most` captures, they are all forgotten
/// before the next.
class GraphTable {
 public:
  explicit GraphTable(Device& device, std::size_t most = 512) : device_(device), most_(most) {}
  GraphTable(const GraphTable&) = delete;
  GraphTable& operator=(const GraphTable&) = delete;
  /// Waits for the device. What that finds wrong is lost here: wait before.
  ~GraphTable();

  /// Runs a section in the stream; true when that was a replay.
  bool run(const Section& section, Stream stream, const Upload& upload);
  std::size_t size() const { return graphs_.size(); }

 private:
  struct Captured {
    Section section;
    Graph graph;
    std::byte* slots = nullptr;
    Event done;  ///< of the last replay: the slots may be filled again
  };
  Captured capture(const Section& section, Stream stream);
  void replay(Captured& captured, const Section& section, Stream stream);
  void forget();

  Device& device_;
  std::size_t most_;
  std::map<std::uint64_t, Captured> graphs_;
  std::set<std::uint64_t> seen_;  ///< hashes of sections that came once
};

}  // namespace retort::gpu
