// cuda_kernels/device.cuh -- the words kernels are written in, for nvcc and for the emulator.
//
//   RETORT_KERNEL                         a kernel: template <class T> RETORT_KERNEL void f(In<T> x, Out<T> y, ..)
//   RETORT_DEVICE                         a function of kernels
//   In<T>, Out<T>                         device memory that is read only; that is read and written
//   RETORT_SHARED(T, name, count)         shared memory of a compile-time size
//   RETORT_SHARED_DYNAMIC(T, name)        the launch's shared memory
//   RETORT_UNROLL                         before a loop that is to be unrolled
//   RETORT_LAUNCH(stream, shape, kernel, arguments..)
//
// thread_index(), block_index(), block_extent(), grid_extent(); sync_block(), sync_warp(mask); shuffle, shuffle_xor,
// shuffle_down, ballot; atomic_add; load_pack, store_pack, load_pair; mma. A kernel that is written in these and
// nothing else runs on both. Arguments are numbers, In, Out, and structs of them with `bind`.
#pragma once
#include <cstdint>

#include "cuda_kernels/types.h"

namespace retort::kernels {

/// A lane's share of one 16 x 8 x 16 product of its warp (PTX, mma.m16n8k16).
struct MmaA {
  unsigned pair[4];
};
struct MmaB {
  unsigned pair[2];
};
struct MmaC {
  float value[4];
};

}  // namespace retort::kernels

#if defined(__CUDACC__)
#include "cuda_kernels/device_cuda.cuh"
#else
#include "cuda_kernels/emulate/kernel.h"
#endif

namespace retort::kernels::RETORT_BACKEND {

inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr unsigned kWarpSize = 32;

/// What elements of T compute in.
template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<bf16> {
  using type = float;
};
template <>
struct ComputeOf<f16> {
  using type = float;
};
template <class T>
using compute_t = typename ComputeOf<T>::type;

template <class T>
RETORT_DEVICE compute_t<T> widen(T v) {
  if constexpr (std::is_same_v<T, bf16> || std::is_same_v<T, f16>)
    return to_float(v);
  else
    return v;
}
template <class T, class C>
RETORT_DEVICE T narrow(C v) {
  if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(v));
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

/// Reductions of a warp by exchange: every lane gets the same value, in an order that does not vary.
template <class T, class Join>
RETORT_DEVICE T warp_reduce(T v, Join join) {
  for (unsigned step = kWarpSize / 2; step > 0; step /= 2) v = join(v, shuffle_xor(kFullWarp, v, step));
  return v;
}
struct AddJoin {
  template <class T>
  RETORT_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};
/// NaN when either is.
struct MaxJoin {
  template <class T>
  RETORT_DEVICE T operator()(T a, T b) const {
    return a != a ? a : (a > b ? a : b);
  }
};
struct MinJoin {
  template <class T>
  RETORT_DEVICE T operator()(T a, T b) const {
    return a != a ? a : (a < b ? a : b);
  }
};

/// Reduction of a block of whole warps; `partial` is shared memory for one value per warp. Every thread gets the value.
template <class T, class Join>
RETORT_DEVICE T block_reduce(T v, Join join, Shared<T> partial) {
  const unsigned warps = block_extent().x / kWarpSize, t = thread_index().x;
  v = warp_reduce(v, join);
  sync_block();  // whoever read `partial` before is done
  if (t % kWarpSize == 0) partial[t / kWarpSize] = v;
  sync_block();
  v = partial[0];
  for (unsigned w = 1; w < warps; ++w) v = join(v, static_cast<T>(partial[w]));
  return v;
}

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls f(TypeTag<T>{}) for a float type; throws gpu::StateError otherwise.
template <class F>
void visit_float(const char* name, Type type, F&& f) {
  switch (type) {
    case Type::f32:
      return f(TypeTag<float>{});
    case Type::f16:
      return f(TypeTag<f16>{});
    case Type::bf16:
      return f(TypeTag<bf16>{});
    default:
      throw gpu::StateError(std::string(name) + ": no kernel for this element type; got type number " +
                            std::to_string(static_cast<int>(type)));
  }
}
/// f32 and bf16: what training uses.
template <class F>
void visit_training(const char* name, Type type, F&& f) {
  if (type == Type::f32) return f(TypeTag<float>{});
  if (type == Type::bf16) return f(TypeTag<bf16>{});
  throw gpu::StateError(std::string(name) + ": no kernel for this element type; got type number " +
                        std::to_string(static_cast<int>(type)));
}

/// Blocks for n elements, `each` per block; at least one.
inline unsigned blocks_for(std::int64_t n, std::int64_t each) {
  const std::int64_t blocks = (n + each - 1) / each;
  if (blocks > 0x7fffffff) throw gpu::StateError("blocks_for: too many elements; got " + std::to_string(n));
  return blocks < 1 ? 1u : static_cast<unsigned>(blocks);
}
/// A thread for each of n elements.
inline gpu::LaunchShape threads_for(std::int64_t n, unsigned per_block = 256) {
  return {{blocks_for(n, per_block)}, {per_block}};
}

}  // namespace retort::kernels::RETORT_BACKEND
