// tests/structure_test.cpp -- the source tree keeps the plan of the house: who includes whom, one op per file.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "retort_paths.h"

namespace fs = std::filesystem;

namespace {
const fs::path kRoot = RETORT_SOURCE_ROOT;

/// What each room may include, itself and everything below it in the diagram of rooms.
const std::map<std::string, std::set<std::string>> kRooms = {
    {"cuda_kernels", {"cuda_kernels"}},
    {"tensor", {"tensor", "cuda_kernels"}},
    {"autograd", {"autograd", "tensor", "cuda_kernels"}},
    {"nn", {"nn", "autograd", "tensor", "cuda_kernels"}},
    {"io", {"io", "tensor", "cuda_kernels"}},
    {"distill", {"distill", "nn", "autograd", "io", "tensor", "cuda_kernels"}},
};

std::vector<fs::path> sources(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    if (extension == ".h" || extension == ".cpp" || extension == ".cuh" || extension == ".cu")
      files.push_back(entry.path());
  }
  return files;
}

std::string contents(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> captures(const std::string& text, const std::regex& pattern) {
  std::vector<std::string> found;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), pattern); it != std::sregex_iterator(); ++it)
    found.push_back((*it)[1]);
  return found;
}

/// Formulas that the host and the device share. They include nothing but each other, so kernels may include them.
const std::set<std::string> kFormulas = {"tensor/math.h", "tensor/philox.h", "tensor/elementwise.h",
                                         "tensor/divergence_terms.h"};

/// Includes of our own headers, as written; the generated headers stand outside the rooms.
std::vector<std::string> own_includes(const fs::path& file) {
  static const std::regex pattern("#include \"([^\"]+)\"");
  auto found = captures(contents(file), pattern);
  for (const char* generated : {"retort_config.h", "retort_paths.h"}) std::erase(found, generated);
  return found;
}
}  // namespace

TEST_CASE("structure: rooms include only what lies below them") {
  int seen = 0;
  for (const auto& [room, allowed] : kRooms)
    for (const fs::path& file : sources(kRoot / room))
      for (const std::string& include : own_includes(file)) {
        ++seen;
        const std::string target = include.substr(0, include.find('/'));
        if (room == "cuda_kernels" && kFormulas.contains(include)) continue;
        CHECK_MESSAGE(allowed.contains(target), file.string(), " includes ", include);
      }
  CHECK(seen > 100);
}

TEST_CASE("structure: formulas that kernels share include only each other") {
  for (const std::string& formula : kFormulas)
    for (const std::string& include : own_includes(kRoot / formula))
      CHECK_MESSAGE(kFormulas.contains(include), formula, " includes ", include);
}

TEST_CASE("structure: CUDA units include the CUDA headers of device_cuda.cuh and our kernels, nothing else") {
  static const std::regex pattern("#include <([^>]+)>");
  int units = 0;
  for (const fs::path& file : sources(kRoot / "cuda_kernels")) {
    if (file.extension() != ".cu") continue;
    ++units;
    CHECK_MESSAGE(captures(contents(file), pattern).empty(), file.string(), " includes a system header");
    for (const std::string& include : own_includes(file))
      CHECK_MESSAGE(include == "cuda_kernels/" + include.substr(13), file.string(), " includes ", include);
    CHECK_MESSAGE(fs::exists(file.parent_path() / "emulate" / (file.stem().string() + ".cpp")), file.string(),
                  " has no unit for the emulator");
  }
  CHECK(units > 3);
}

TEST_CASE("structure: includes are written from the root and exist") {
  for (const char* folder : {"cuda_kernels", "tensor", "autograd", "nn", "io", "distill", "tests", "bench"})
    for (const fs::path& file : sources(kRoot / folder))
      for (const std::string& include : own_includes(file))
        CHECK_MESSAGE(fs::exists(kRoot / include), file.string(), " includes ", include, ", which does not exist");
}

TEST_CASE("structure: a file in autograd/ops is named after the op it registers") {
  static const std::regex registration("REGISTER_OP\\((\\w+)\\)"), op_name("std::string_view name = \"(\\w+)\"");
  int ops = 0;
  for (const fs::path& file : sources(kRoot / "autograd/ops")) {
    if (file.extension() != ".cpp") continue;
    const std::string text = contents(file), stem = file.stem().string();
    const auto registered = captures(text, registration), names = captures(text, op_name);
    INFO(file.string());
    CHECK(registered.size() == names.size());
    ops += static_cast<int>(names.size());
    if (names.empty()) continue;
    CHECK_MESSAGE(std::find(names.begin(), names.end(), stem) != names.end(), "no op named ", stem);
    // Companions (an op's own derivative or adjoint kernel) begin with its name.
    for (const std::string& name : names)
      CHECK_MESSAGE(name.rfind(stem, 0) == 0, name, " belongs in a file of its own");
  }
  CHECK(ops > 50);
}
