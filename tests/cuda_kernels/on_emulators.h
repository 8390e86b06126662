// tests/cuda_kernels/on_emulators.h -- functions of tensors on the emulator beside the processor, with their gradients.
#pragma once
#include <doctest/doctest.h>

#include <vector>

#include "tensor/transfer.h"
#include "tests/cuda_kernels/on_tensors.h"
#include "tests/emulators.h"

namespace retort::kernel_test {

/// Some f(inputs) and its gradients there, on the processor and under every schedule of the emulator.
template <class F>
void check_on_emulators(const F& f, const std::vector<Tensor>& inputs, const Tensor& cotangent, DType dtype) {
  const auto results = [&](Device device) {
    std::vector<Tensor> here;
    for (const Tensor& t : inputs) here.push_back(to(t, device));
    const auto op = [&](const std::vector<Tensor>& in) { return f(in, device); };
    std::vector<Tensor> all{op(here)};
    for (const Tensor& g : gradients_of(op, here, to(cotangent, device))) all.push_back(g);
    for (Tensor& t : all) t = to(t, kCpu);
    return all;
  };
  const std::vector<Tensor> want = results(kCpu);
  for (const auto schedule : {gpu::Schedule::forward, gpu::Schedule::reverse, gpu::Schedule::random}) {
    const std::vector<Tensor> got = results(testing::emulator(schedule));
    for (std::size_t i = 0; i < want.size(); ++i) {
      INFO("result ", i);
      CHECK(distance(got[i], want[i]) < tolerance(dtype));
    }
  }
}

}  // namespace retort::kernel_test
