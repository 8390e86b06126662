// tensor/cpu_level.h -- for which processors the kernels that are running were compiled.
#pragma once
#include <string_view>

namespace retort {

/// "x86-64-v4", "x86-64-v3", "x86-64" or "baseline" (not x86-64): the instruction level of the CPU kernels in this
/// process. An installed package holds several of them and the dynamic linker picks one (option `levels`).
std::string_view cpu_level();

}  // namespace retort
