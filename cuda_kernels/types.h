// cuda_kernels/types.h -- what launchers are told in plain C++: element types and shapes with strides.
#pragma once
#include <cstdint>

#include "cuda_kernels/gpu.h"

namespace retort::kernels {

enum class Type : std::uint8_t { f64, f32, f16, bf16, i64, i32, u8, boolean };

inline constexpr int kMaxRank = 8;

/// A shape and the steps of two tensors along it, in elements; a broadcast axis has step 0.
struct StridedPair {
  int rank = 0;
  int filler = 0;  ///< arguments of kernels have no padding (arguments.h)
  std::int64_t extent[kMaxRank] = {};
  std::int64_t first[kMaxRank] = {}, second[kMaxRank] = {};
};

/// What is applied last, where a kernel takes one.
enum class Activation : std::uint8_t { none, relu, gelu, gelu_tanh, silu };

/// Declares a launcher for both devices and the door to them: `name(args, stream)` puts the kernel into the stream of a
/// CUDA device or of the emulator. Pointers are device memory. Throws gpu::StateError for types it has no kernel for.
#if defined(RETORT_HAVE_CUDA)
#define RETORT_LAUNCHER(name, Args)                                                 \
  namespace cuda {                                                                  \
  void name(const Args& args, gpu::Stream stream);                                  \
  }                                                                                 \
  namespace emu {                                                                   \
  void name(const Args& args, gpu::Stream stream);                                  \
  }                                                                                 \
  inline void name(const Args& args, gpu::Stream stream) {                          \
    stream.device->emulated() ? emu::name(args, stream) : cuda::name(args, stream); \
  }
#else
#define RETORT_LAUNCHER(name, Args)                \
  namespace emu {                                  \
  void name(const Args& args, gpu::Stream stream); \
  }                                                \
  inline void name(const Args& args, gpu::Stream stream) { emu::name(args, stream); }
#endif

}  // namespace retort::kernels
