// tensor/gpu/capture.h -- steps that repeat: their memory is planned, and what they put into the stream is replayed.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensor/gpu/device.h"

namespace retort {

/// Captures of one program's steps on one GPU. The host runs every step as it is written; what it would put into the
/// stream is noted, and where the host waits, where more than 4 KiB come from the host, or after 256 pieces of work,
/// the section that was noted is run: replayed when it is piece by piece what a capture holds, else as it is. So a step
/// never differs from one without captures; what differs from time to time only costs its launches.
///
/// The first step of a name runs as it comes while its allocations are noted; from then on they come from places in one
/// arena of the device, at the same addresses every time (recorded_step.h). What outlives the step lies outside. A
/// section is captured when it comes for the second time.
class StepCapture {
 public:
  explicit StepCapture(Device device);
  ~StepCapture();

  /// Runs a step; steps of one name are expected to repeat. An exception of `step` leaves all that was put in before it
  /// in the stream. Throws DeviceError when another step is noted on this device.
  void run(const std::string& name, const std::function<void()>& step);

  struct Report {
    std::int64_t steps = 0;
    std::int64_t sections = 0, replayed = 0;  ///< of the newest step
    std::int64_t replays = 0;                 ///< in all steps
    std::int64_t arena_bytes = 0;             ///< what its temporaries take
    std::int64_t unsettled = 0;               ///< steps since it was replayed whole
    std::string reason;                       ///< why something of the newest step ran as it comes; else empty
    /// Its newest step was replayed whole.
    bool settled() const { return reason.empty() && sections == replayed; }
  };
  const std::map<std::string, Report>& reports() const { return reports_; }

 private:
  struct Plan;
  Device device_;
  std::unique_ptr<gpu::GraphTable> graphs_;
  std::map<std::string, Plan> plans_;
  std::map<std::string, Report> reports_;
};

}  // namespace retort
