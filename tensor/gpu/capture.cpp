#include "tensor/gpu/capture.h"

#include "tensor/gpu/recorded_step.h"

namespace retort {

struct StepCapture::Plan {
  std::optional<ArenaPlan> memory;
  std::vector<gpu::Section> before;  ///< what the step before this one noted
};

StepCapture::StepCapture(Device device) : device_(device) {
  GpuDevice::of(device).use([&](gpu::Device& gpu, gpu::Stream) { graphs_ = std::make_unique<gpu::GraphTable>(gpu); });
}

StepCapture::~StepCapture() {
  GpuDevice::of(device_).use([&](gpu::Device&, gpu::Stream) { graphs_.reset(); });
}

void StepCapture::run(const std::string& name, const std::function<void()>& step) {
  Plan& plan = plans_[name];
  Report& report = reports_[name];
  GpuDevice& device = GpuDevice::of(device_);
  Arena* const arena = plan.memory ? &device.arena(plan.memory->peak) : nullptr;
  RecordedStep notes(device.place(), *graphs_, plan.memory ? &*plan.memory : nullptr, arena, plan.before);
  device.begin(notes);
  try {
    step();
    device.end(notes);
  } catch (...) {
    device.abandon(notes);
    throw;
  }
  ++report.steps;
  report.sections = static_cast<std::int64_t>(notes.sections().size());
  report.replayed = notes.replayed();
  report.replays += notes.replayed();
  report.reason = notes.reason();
  plan.before = std::move(notes.sections());
  if (!plan.memory) {
    plan.memory = notes.log().plan();
    report.arena_bytes = plan.memory->peak;
    return;
  }
  if (notes.left().empty() && arena->idle()) return;
  report.reason = notes.left().empty() ? "memory that was given back within a step before outlives it" : notes.left();
  plan.memory.reset();
}

}  // namespace retort
