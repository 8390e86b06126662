#include "cuda_kernels/recorder.h"

#include <cstring>
#include <utility>

namespace retort::gpu {

namespace {
enum class Work : std::uint64_t { launch, copy, fill, library, upload };

std::uint64_t word_of(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

/// Bytes as words, the last one filled up with zeros.
void append(std::vector<std::uint64_t>& words, const void* bytes, std::size_t count) {
  const std::size_t at = words.size();
  words.resize(at + (count + 7) / 8, 0);
  if (count > 0) std::memcpy(words.data() + at, bytes, count);
}

std::uint64_t hash_of(const Section& section) {
  std::uint64_t h = section.size();
  const auto mix = [&](std::uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  };
  for (const Piece& piece : section) {
    mix(piece.identity.size());
    for (const std::uint64_t word : piece.identity) mix(word);
  }
  return h;
}

bool same(const Section& a, const Section& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!a[i].same(b[i])) return false;
  return true;
}

/// A kernel whose arguments are its own: those of a launch are gone when the launch returns.
class OwnedKernel {
 public:
  explicit OwnedKernel(const Kernel& kernel) : kernel_(kernel) {
    std::vector<std::size_t> begins;
    std::size_t total = 0;
    for (std::size_t i = 0; i < kernel.argument_count; ++i) {
      begins.push_back(total);
      total += (kernel.argument_bytes[i] + kAlign) / kAlign;  // at least one for structs without members
    }
    room_.resize(total);
    for (std::size_t i = 0; i < kernel.argument_count; ++i) {
      addresses_.push_back(&room_[begins[i]]);
      if (kernel.argument_bytes[i] > 0) std::memcpy(addresses_[i], kernel.arguments[i], kernel.argument_bytes[i]);
    }
  }
  Kernel kernel() {
    Kernel k = kernel_;
    k.arguments = addresses_.data();
    return k;
  }

 private:
  static constexpr std::size_t kAlign = 16;
  struct alignas(kAlign) Unit {
    std::byte bytes[kAlign];
  };
  Kernel kernel_;
  std::vector<Unit> room_;
  std::vector<void*> addresses_;
};
}  // namespace

std::string difference(const Section& before, const Section& now) {
  for (std::size_t i = 0; i < before.size() && i < now.size(); ++i) {
    const Piece &a = before[i], &b = now[i];
    if (a.same(b)) continue;
    const std::string where = "piece " + std::to_string(i) + ", " + b.name;
    if (std::string_view(a.name) != b.name) return where + ": was " + a.name + " before";
    if (a.ends != b.ends || a.ends.empty()) return where + ": addresses or sizes differ";
    std::size_t begin = 0;
    for (std::size_t k = 0; k < a.ends.size(); begin = a.ends[k++])
      for (std::size_t w = begin; w < a.ends[k]; ++w)
        if (a.identity[w] != b.identity[w])
          return where + (k == 0 ? ": its instance or shape differs" : ": argument " + std::to_string(k) + " differs");
  }
  if (before.size() != now.size())
    return std::to_string(now.size()) + " pieces where there were " + std::to_string(before.size());
  return {};
}

void Recorder::refuse(const char* what) { throw StateError(std::string(what) + ": not while work is recorded"); }

Piece& Recorder::note(const char* name, std::function<void(Device&, Stream)> put) {
  Piece& piece = noted_.emplace_back();
  piece.name = name;
  piece.put = std::move(put);
  return piece;
}

Section Recorder::take() { return std::exchange(noted_, {}); }

void Recorder::upload(void* to, const void* from, std::size_t bytes) {
  Piece& piece = note("upload", {});
  piece.identity = {static_cast<std::uint64_t>(Work::upload), word_of(to), bytes};
  piece.to = to;
  const auto* const first = static_cast<const std::byte*>(from);
  piece.bytes.assign(first, first + bytes);
}

void Recorder::launch(const Kernel& kernel, const LaunchShape& shape, Stream) {
  const auto owned = std::make_shared<OwnedKernel>(kernel);
  Piece& piece = note(kernel.name,
                      [owned, shape](Device& device, Stream stream) { device.launch(owned->kernel(), shape, stream); });
  const Extent &g = shape.grid, &b = shape.block;
  piece.identity = {static_cast<std::uint64_t>(Work::launch),
                    word_of(kernel.entry),
                    g.x,
                    g.y,
                    g.z,
                    b.x,
                    b.y,
                    b.z,
                    shape.shared_bytes};
  piece.ends.push_back(piece.identity.size());
  for (std::size_t i = 0; i < kernel.argument_count; ++i) {
    append(piece.identity, kernel.arguments[i], kernel.argument_bytes[i]);
    piece.ends.push_back(piece.identity.size());
  }
}

void Recorder::copy(void* to, const void* from, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  note("copy", [=](Device& device, Stream stream) { device.copy(to, from, bytes, stream); }).identity = {
      static_cast<std::uint64_t>(Work::copy), word_of(to), word_of(from), bytes};
}

void Recorder::fill(void* memory, std::uint8_t byte, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  note("fill", [=](Device& device, Stream stream) { device.fill(memory, byte, bytes, stream); }).identity = {
      static_cast<std::uint64_t>(Work::fill), word_of(memory), byte, bytes};
}

void Recorder::call_library(const char* name, const std::string& settings, std::function<void()> function,
                            std::vector<Access> ranges, Stream) {
  Piece& piece =
      note(name, [=](Device& device, Stream stream) { device.call_library(name, settings, function, ranges, stream); });
  piece.identity = {static_cast<std::uint64_t>(Work::library), settings.size()};
  append(piece.identity, settings.data(), settings.size());
  for (const Access& a : ranges) {
    piece.identity.push_back(word_of(a.memory));
    piece.identity.push_back(a.bytes * 2 + (a.written ? 1 : 0));
  }
}

void run_eagerly(const Section& section, Device& device, Stream stream, const Upload& upload) {
  for (const Piece& piece : section)
    if (piece.put)
      piece.put(device, stream);
    else
      upload(piece.to, piece.bytes.data(), piece.bytes.size());
}

GraphTable::~GraphTable() {
  try {
    forget();
  } catch (const Error&) {
  }
}

void GraphTable::forget() {
  for (auto& [hash, captured] : std::exchange(graphs_, {})) {
    device_.release_pinned(captured.slots);  // waits
    device_.destroy(captured.done);
    device_.destroy(captured.graph);
  }
}

bool GraphTable::run(const Section& section, Stream stream, const Upload& upload) {
  if (section.empty()) return true;
  const std::uint64_t hash = hash_of(section);
  auto found = graphs_.find(hash);
  if (found == graphs_.end() && !seen_.insert(hash).second) {
    if (graphs_.size() >= most_) forget();
    found = graphs_.emplace(hash, capture(section, stream)).first;
  }
  if (seen_.size() > 16 * most_) seen_.clear();  // a job whose steps never repeat
  if (found == graphs_.end() || !same(found->second.section, section)) {
    run_eagerly(section, device_, stream, upload);
    return false;
  }
  replay(found->second, section, stream);
  return true;
}

namespace {
constexpr std::size_t kSlotAlign = 256;
std::size_t slot_bytes(const Piece& piece) { return (piece.bytes.size() + kSlotAlign - 1) / kSlotAlign * kSlotAlign; }
}  // namespace

GraphTable::Captured GraphTable::capture(const Section& section, Stream stream) {
  Captured captured;
  captured.section = section;
  std::size_t total = 0;
  for (const Piece& piece : section) total += slot_bytes(piece);
  captured.slots = static_cast<std::byte*>(device_.allocate_pinned(total));
  captured.done = device_.create_event();
  device_.begin_capture(stream);
  try {
    std::byte* slot = captured.slots;
    for (const Piece& piece : section) {
      if (piece.put) {
        piece.put(device_, stream);
        continue;
      }
      device_.copy_to_device(piece.to, slot, piece.bytes.size(), stream);
      slot += slot_bytes(piece);
    }
  } catch (...) {
    device_.destroy(device_.end_capture(stream));
    device_.destroy(captured.done);
    device_.release_pinned(captured.slots);
    throw;
  }
  captured.graph = device_.end_capture(stream);
  return captured;
}

void GraphTable::replay(Captured& captured, const Section& section, Stream stream) {
  device_.synchronize(captured.done);
  std::byte* slot = captured.slots;
  for (const Piece& piece : section) {
    if (piece.put) continue;
    std::memcpy(slot, piece.bytes.data(), piece.bytes.size());
    slot += slot_bytes(piece);
  }
  device_.replay(captured.graph, stream);
  device_.record(captured.done, stream);
}

}  // namespace retort::gpu
