// tests/emulators.h -- an emulated GPU for each order in which it may run its work.
#pragma once
#include "tensor/gpu/device.h"

namespace retort::testing {

/// emu:1 runs forward, emu:2 in reverse, emu:3 at random.
inline Device emulator(gpu::Schedule schedule) {
  static const bool configured = [] {
    for (const auto& [index, how] :
         {std::pair(1, gpu::Schedule::forward), {2, gpu::Schedule::reverse}, {3, gpu::Schedule::random}}) {
      gpu::EmulatorOptions options;
      options.schedule = how;
      options.seed = 11;
      configure_emulator(index, options);
    }
    return true;
  }();
  static_cast<void>(configured);
  const int index = schedule == gpu::Schedule::forward ? 1 : schedule == gpu::Schedule::reverse ? 2 : 3;
  return {DeviceKind::emu, static_cast<std::int8_t>(index)};
}
inline constexpr Device kEmu{DeviceKind::emu, 0};

}  // namespace retort::testing
