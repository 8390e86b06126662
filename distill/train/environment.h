// distill/train/environment.h -- what a run ran on: version, compiler, machine, libraries.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace retort {

/// environment.json as text: version, compiler, build libraries, host name, kernel, CPU model, cores of the machine and
/// cores this process may use, memory in bytes; then `extra`, such as the GPU and its driver. What the system does not
/// tell is "unknown" or 0.
std::string environment_json(const std::vector<std::pair<std::string, std::string>>& extra = {});

}  // namespace retort
