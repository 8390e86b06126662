#include "tensor/gpu/capture.h"

#include "tensor/gpu/recorded_step.h"

namespace retort {

struct StepCapture::Plan {
  std::optional<ArenaPlan> memory;
  std::int64_t arena_bytes = 0;
  int made = 0;
  std::vector<gpu::Section> before;  ///< what the step before this one noted
};

StepCapture::StepCapture(Device device) : device_(device) {
  GpuDevice::of(device).use([&](gpu::Device& gpu, gpu::Stream) { graphs_ = std::make_unique<gpu::GraphTable>(gpu); });
}

StepCapture::~StepCapture() { GpuDevice::of(device_).let_go(std::move(graphs_)); }

void StepCapture::run(const std::string& name, const std::function<void()>& step) {
  Plan& plan = plans_[name];
  Report& report = reports_[name];
  GpuDevice& device = GpuDevice::of(device_);
  const bool planned = plan.memory.has_value();
  RecordedStep notes(device.place(), *graphs_, planned ? &*plan.memory : nullptr, plan.arena_bytes, plan.before);
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
  report.reason = planned ? notes.reason() : "its memory is planned";
  plan.before = std::move(notes.sections());
  report.unsettled = report.settled() ? 0 : report.unsettled + 1;
  if (!plan.memory) {
    plan.memory = notes.log().plan();
    plan.arena_bytes = std::max(plan.arena_bytes, plan.memory->peak);
    ++plan.made;
  }
  plan.arena_bytes += 2 * notes.missing_bytes();  // with room for gaps
  report.arena_bytes = plan.arena_bytes;
  // The first step of a program may be special. Later ones that differ from time to time keep to the plan they have.
  if ((notes.outlived() && plan.made < 4) || (planned && !notes.by_plan() && plan.made < 2)) plan.memory.reset();
}

}  // namespace retort
