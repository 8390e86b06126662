// tensor/gpu/recorded_step.h -- a step while it runs: where its memory comes from, and the work that is noted.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "tensor/gpu/arena.h"
#include "tensor/gpu/device.h"

namespace retort {

/// What GpuDevice asks while a step is on (capture.h), under the device's lock. With a plan, allocations come from the
/// arena and work is noted; where the step asks for something else than the plan says, its allocations go into the
/// smallest gaps from there on, which repeats when the step does. Without a plan, allocations are logged and work runs
/// as it comes.
class RecordedStep {
 public:
  RecordedStep(StepPlace place, gpu::GraphTable& graphs, const ArenaPlan* plan, std::int64_t arena_bytes,
               const std::vector<gpu::Section>& before)
      : place_(std::move(place)),
        graphs_(graphs),
        before_(before),
        plan_(plan),
        arena_bytes_(plan ? std::max<std::int64_t>(arena_bytes, 1) : 0),
        recorder_(place_.device),
        noting_(plan != nullptr),
        planned_(noting_) {}

  /// What its arena has to hold; 0 without a plan.
  std::int64_t arena_bytes() const { return arena_bytes_; }
  void use(Arena& arena) { arena_ = &arena; }

  /// Where work goes now.
  gpu::Device& door() { return noting_ ? recorder_ : place_.device; }
  /// The arena's bytes for the next allocation; null where it lies outside, to be told by `allocated`.
  std::byte* take(std::int64_t bytes);
  void allocated(const std::byte* memory, std::int64_t bytes) { log_.allocated(memory, bytes); }
  /// True when memory from outside is given back later, after the noted work that may use it.
  bool releases(std::byte* memory);
  /// True when the upload is noted.
  bool uploads(void* to, const void* from, std::int64_t bytes);
  /// Runs what is noted; everything that is put in elsewhere comes after it.
  void flush();
  /// The same when enough is noted for a section.
  void flush_if_full();
  /// The same at the end of the step.
  void finish();
  /// From now on work runs as it comes.
  void leave();

  const AllocationLog& log() const { return log_; }
  bool by_plan() const { return planned_; }
  bool outlived() const { return outlived_; }              ///< parts of the arena were in use at its end
  std::int64_t missing_bytes() const { return missing_; }  ///< of the arena
  const std::string& reason() const { return reason_; }    ///< why a section was not replayed; empty: all were
  std::int64_t replayed() const { return replayed_; }
  std::vector<gpu::Section>& sections() { return sections_; }

 private:
  std::string why_new(const gpu::Section& section, std::size_t i) const;

  static constexpr std::int64_t kLargestSlot = 4 << 10;
  static constexpr std::size_t kLargestSection = 256;

  StepPlace place_;
  gpu::GraphTable& graphs_;
  const std::vector<gpu::Section>& before_;  ///< of the step before this one
  const ArenaPlan* plan_;
  std::int64_t arena_bytes_;
  Arena* arena_ = nullptr;
  gpu::Recorder recorder_;
  bool noting_, planned_, outlived_ = false;
  std::size_t next_ = 0;  ///< allocation of the plan
  AllocationLog log_;
  std::vector<std::byte*> releases_;
  std::vector<gpu::Section> sections_;
  std::int64_t replayed_ = 0;
  std::int64_t missing_ = 0;
  std::string reason_;
};

}  // namespace retort
