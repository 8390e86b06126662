// cuda_kernels/optimizer.cu -- instances and launchers of optimiser steps.
#include "cuda_kernels/optimizer.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class Rule>
static void launch_update(const char* name, const TensorList& list, const float* numbers, bool flag,
                          gpu::Stream stream) {
  if (list.count < 0 || list.count > kTensorsPerLaunch)
    throw gpu::StateError(std::string(name) + ": at most " + std::to_string(kTensorsPerLaunch) +
                          " tensors in a launch; got " + std::to_string(list.count));
  TensorTable table{};
  std::int64_t largest = 0;
  table.count = list.count;
  for (int i = 0; i < list.count; ++i) {
    table.master[i] = list.master[i];
    table.gradient[i] = list.gradient[i];
    table.first[i] = list.first[i];
    table.second[i] = list.second[i];
    table.shadow[i] = static_cast<bf16*>(list.shadow[i]);
    table.size[i] = list.size[i];
    if (list.size[i] > largest) largest = list.size[i];
  }
  if (largest == 0) return;
  constexpr unsigned kThreads = 256, kMostBlocks = 512;
  const unsigned blocks = blocks_for(largest, kThreads);
  const gpu::LaunchShape shape{{blocks < kMostBlocks ? blocks : kMostBlocks, static_cast<unsigned>(list.count)},
                               {kThreads}};
  RETORT_LAUNCH(stream, shape, update_tensors<Rule>, table, numbers, flag);
}

void sgd(const Sgd& args, gpu::Stream stream) {
  launch_update<SgdRule>("sgd", args.tensors, args.numbers, args.nesterov, stream);
}
void adamw(const AdamW& args, gpu::Stream stream) {
  launch_update<AdamWRule>("adamw", args.tensors, args.numbers, false, stream);
}
void lion(const Lion& args, gpu::Stream stream) {
  launch_update<LionRule>("lion", args.tensors, args.numbers, false, stream);
}
void ema(const Ema& args, gpu::Stream stream) {
  launch_update<EmaRule>("ema", args.tensors, args.numbers, false, stream);
}

}  // namespace retort::kernels::RETORT_BACKEND
