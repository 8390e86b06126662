#include "tensor/gpu/recorded_step.h"

#include <fmt/format.h>

#include <utility>

namespace retort {

std::byte* RecordedStep::take(std::int64_t bytes) {
  if (!plan_ || !noting_) return nullptr;
  const std::size_t i = next_++;
  if (i >= plan_->blocks.size() || plan_->blocks[i].bytes != bytes) {
    leave(i < plan_->blocks.size()
              ? fmt::format("allocation {} asks for {} bytes where it was {} before", i, bytes, plan_->blocks[i].bytes)
              : fmt::format("it makes more than {} allocations", plan_->blocks.size()));
    return nullptr;
  }
  if (!plan_->blocks[i].offset) return nullptr;
  std::byte* const memory = arena_->take(*plan_->blocks[i].offset, bytes);
  if (!memory) leave(fmt::format("the place of allocation {}, {} bytes, is still in use", i, bytes));
  return memory;
}

bool RecordedStep::releases(std::byte* memory) {
  log_.released(memory);
  if (!noting_ && recorder_.size() == 0) return false;
  releases_.push_back(memory);
  return true;
}

bool RecordedStep::uploads(void* to, const void* from, std::int64_t bytes) {
  if (!noting_ || bytes > kLargestSlot) return false;
  recorder_.upload(to, from, static_cast<std::size_t>(bytes));
  return true;
}

void RecordedStep::flush_if_full() {
  if (recorder_.size() >= kLargestSection || (!noting_ && recorder_.size() > 0)) flush();
}

std::string RecordedStep::why_new(const gpu::Section& section, std::size_t i) const {
  if (i >= before_.size()) return "the step before had no such section";
  const std::string difference = gpu::difference(before_[i], section);
  return difference.empty() ? "there are more captures than are kept" : difference;
}

void RecordedStep::flush() {
  gpu::Section section = recorder_.take();
  if (!noting_) {
    gpu::run_eagerly(section, place_.device, place_.stream, place_.upload);
  } else if (!section.empty()) {
    const std::size_t i = sections_.size();
    if (graphs_.run(section, place_.stream, place_.upload))
      ++replayed_;
    else if (reason_.empty())
      reason_ = fmt::format("section {}: {}", i, why_new(section, i));
    sections_.push_back(std::move(section));
  }
  for (std::byte* const memory : std::exchange(releases_, {})) place_.device.release(memory, place_.stream);
}

void RecordedStep::leave(const std::string& why) {
  if (!noting_) return;
  left_ = why;
  noting_ = false;
  flush();
}

}  // namespace retort
