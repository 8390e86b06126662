#include "tensor/gpu/recorded_step.h"

#include <fmt/format.h>

#include <utility>

namespace retort {

std::byte* RecordedStep::take(std::int64_t bytes) {
  if (!noting_) return nullptr;
  const std::size_t i = next_++;
  planned_ = planned_ && i < plan_->blocks.size() && plan_->blocks[i].bytes == bytes;
  if (planned_) {
    if (!plan_->blocks[i].offset) return nullptr;
    if (std::byte* const memory = arena_->take(*plan_->blocks[i].offset, bytes)) return memory;
    planned_ = false;
  }
  std::byte* const memory = arena_->take(bytes);
  if (!memory) missing_ += bytes;
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
  return difference.empty() ? "too many came between" : difference;
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

void RecordedStep::finish() {
  flush();
  outlived_ = arena_ && !arena_->idle();
}

void RecordedStep::leave() {
  noting_ = false;
  flush();
}

}  // namespace retort
