// tests/tensor/gpu_ops_test.cpp -- every op case on the emulator, and the list of what GPUs do not have yet.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "tensor/gpu/host.h"
#include "tests/emulators.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
using Names = std::set<std::string_view>;

Names names_of(std::span<const HostAnswer> list) {
  Names names;
  for (const HostAnswer& a : list) {
    CHECK_MESSAGE(!a.why.empty(), a.op, " is left to the host without a reason");
    names.insert(a.op);
  }
  CHECK(names.size() == list.size());
  return names;
}

std::string listed(const Names& names) {
  std::string text;
  for (const std::string_view name : names) text += " " + std::string(name);
  return text;
}
Names without(const Names& from, const Names& what) {
  Names left;
  std::set_difference(from.begin(), from.end(), what.begin(), what.end(), std::inserter(left, left.end()));
  return left;
}
}  // namespace

TEST_CASE("gpu ops: every op of the processor has a kernel for GPUs or is, for a reason, the host's") {
  const auto cpu = registered_kernels(DeviceKind::cpu), emu = registered_kernels(DeviceKind::emu),
             cuda = registered_kernels(DeviceKind::cuda);
  const Names missing = without({cpu.begin(), cpu.end()}, {emu.begin(), emu.end()});
  CHECK_MESSAGE(missing.empty(), "no longer there:", listed(missing));
  const Names library = names_of(library_ops()), host = names_of(host_ops());
  CHECK(without({emu.begin(), emu.end()}, {cuda.begin(), cuda.end()}) == library);
  CHECK(without({emu.begin(), emu.end()}, {cpu.begin(), cpu.end()}).empty());
  CHECK(without(host, {cuda.begin(), cuda.end()}).empty());
}

TEST_CASE("gpu ops: values and gradients of op cases on the emulator, f32 and bf16") {
  // Cases none of whose samples run: the function holds tensors of the host.
  const Names expected{"istft", "stft"};
  Names refused;
  int samples = 0;
  for (const OpCaseEntry& entry : op_cases()) {
    const OpCase c = make_op_case(entry);
    if (c.dtypes.empty()) continue;
    const DeviceRun wide = run_on_device(c, kEmu, DType::f32, 500);
    samples += wide.samples;
    if (wide.samples == 0) {
      refused.insert(entry.name);
      continue;
    }
    if (std::find(c.dtypes.begin(), c.dtypes.end(), DType::bf16) != c.dtypes.end())
      run_on_device(c, kEmu, DType::bf16, 100);
  }
  CHECK(samples > 100);
  CHECK_MESSAGE(without(refused, expected).empty(), "no longer run:", listed(without(refused, expected)));
  CHECK_MESSAGE(without(expected, refused).empty(), "take from the list:", listed(without(expected, refused)));
}
