// tensor/cpu/engine.h -- which code does the heavy arithmetic of matrix products and convolutions on the CPU.
#pragma once
#include "retort_config.h"

namespace retort::cpu {

/// `onednn`: the library, when Retort was built with it. `fallback`: Eigen and our own loops, always present.
/// Both exist side by side so that one test program can compare them.
enum class Engine { onednn, fallback };

#ifdef RETORT_HAVE_ONEDNN
inline constexpr bool kHaveOneDnn = true;
inline constexpr Engine kDefaultEngine = Engine::onednn;
#else
inline constexpr bool kHaveOneDnn = false;
inline constexpr Engine kDefaultEngine = Engine::fallback;
#endif

}  // namespace retort::cpu
