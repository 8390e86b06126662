// distill/train/environment.h -- what a run ran on: version, compiler, machine, libraries.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retort {

/// environment.json as text: version, compiler, build libraries, host name, kernel, CPU model, cores of the machine and
/// cores this process may use, memory in bytes; then `extra`, such as the GPU and its driver. What the system does not
/// tell is "unknown" or 0.
std::string environment_json(const std::vector<std::pair<std::string, std::string>>& extra = {});

/// Memory that this process holds now, and held at most, in bytes (VmRSS and VmHWM); 0 where the system does not tell.
std::int64_t resident_bytes();
std::int64_t peak_resident_bytes();

}  // namespace retort
