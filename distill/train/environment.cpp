// distill/train/environment.cpp -- reads the machine's description from Linux.
#include "distill/train/environment.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>

#include "retort_config.h"
#include "tensor/cpu_level.h"

namespace retort {
namespace {

// The value of the first line `key : value` of a /proc file; empty when there is none.
std::string proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == line.npos) continue;
    const std::size_t first = line.find_first_not_of(" \t", colon + 1);
    return first == line.npos ? "" : line.substr(first);
  }
  return "";
}

std::string cpu_model() {
  const std::string model = proc_value("/proc/cpuinfo", "model name");
  return model.empty() ? "unknown" : model;
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

std::int64_t memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGE_SIZE);
  return pages > 0 && size > 0 ? static_cast<std::int64_t>(pages) * size : 0;
}

/// "VmHWM:   123456 kB" of /proc/self/status in bytes.
std::int64_t status_bytes(const std::string& key) {
  const std::string value = proc_value("/proc/self/status", key);
  std::int64_t kib = 0;
  std::from_chars(value.data(), value.data() + value.size(), kib);
  return kib * 1024;
}

}  // namespace

std::int64_t resident_bytes() { return status_bytes("VmRSS"); }
std::int64_t peak_resident_bytes() { return status_bytes("VmHWM"); }

std::string environment_json(const std::vector<std::pair<std::string, std::string>>& extra) {
  utsname system{};
  const bool known = ::uname(&system) == 0;
  nlohmann::ordered_json out;
  out["retort"] = RETORT_VERSION;
  out["compiler"] = RETORT_COMPILER;
  out["libraries"] = RETORT_LIBRARIES;
  out["host"] = known ? system.nodename : "unknown";
  out["kernel"] = known ? std::string(system.sysname) + " " + system.release + " " + system.machine : "unknown";
  out["cpu"] = cpu_model();
  out["kernels_for"] = cpu_level();
  out["cores"] = ::sysconf(_SC_NPROCESSORS_ONLN);
  out["usable_cores"] = usable_cores();
  out["memory_bytes"] = memory_bytes();
  for (const auto& [name, value] : extra) out[name] = value;
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace retort
