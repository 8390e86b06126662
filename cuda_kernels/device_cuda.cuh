// cuda_kernels/device_cuda.cuh -- the words of device.cuh for nvcc: CUDA's own.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <string>
#include <type_traits>

#include "cuda_kernels/arguments.h"
#include "cuda_kernels/gpu.h"

#define RETORT_BACKEND cuda
#define RETORT_KERNEL __global__
#define RETORT_DEVICE __device__ __forceinline__
#define RETORT_UNROLL _Pragma("unroll")
#define RETORT_SHARED(T, name, count) __shared__ T name[count]
#define RETORT_SHARED_DYNAMIC(T, name)                          \
  extern __shared__ __align__(16) unsigned char shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(shared_bytes)
#define RETORT_LAUNCH(stream, shape, kernel, ...) launch(stream, #kernel, shape, kernel, __VA_ARGS__)

namespace retort::kernels::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;
RETORT_DEVICE float to_float(bf16 v) { return __bfloat162float(v); }
RETORT_DEVICE float to_float(f16 v) { return __half2float(v); }
RETORT_DEVICE bf16 to_bf16(float v) { return __float2bfloat16_rn(v); }
RETORT_DEVICE f16 to_f16(float v) { return __float2half_rn(v); }

template <class T>
using In = const T*;
template <class T>
using Out = T*;
template <class T>
using Shared = T*;

RETORT_DEVICE uint3 thread_index() { return threadIdx; }
RETORT_DEVICE uint3 block_index() { return blockIdx; }
RETORT_DEVICE dim3 block_extent() { return blockDim; }
RETORT_DEVICE dim3 grid_extent() { return gridDim; }

RETORT_DEVICE void sync_block() { __syncthreads(); }
RETORT_DEVICE void sync_warp(unsigned mask) { __syncwarp(mask); }
template <class T>
RETORT_DEVICE T shuffle(unsigned mask, T v, unsigned lane) {
  return __shfl_sync(mask, v, static_cast<int>(lane));
}
template <class T>
RETORT_DEVICE T shuffle_xor(unsigned mask, T v, unsigned lanes) {
  return __shfl_xor_sync(mask, v, static_cast<int>(lanes));
}
template <class T>
RETORT_DEVICE T shuffle_down(unsigned mask, T v, unsigned lanes) {
  return __shfl_down_sync(mask, v, lanes);
}
RETORT_DEVICE unsigned ballot(unsigned mask, bool predicate) { return __ballot_sync(mask, predicate); }
template <class T>
RETORT_DEVICE T atomic_add(T* p, T v) {
  return atomicAdd(p, v);
}

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};
template <int N, class T>
RETORT_DEVICE Pack<T, N> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <int N, class T>
RETORT_DEVICE void store_pack(T* p, const Pack<T, N>& v) {
  *reinterpret_cast<Pack<T, N>*>(p) = v;
}

/// Two neighbouring 16-bit values as one word, the first in the low half.
template <class T>
RETORT_DEVICE unsigned load_pair(const T* p) {
  return *reinterpret_cast<const unsigned*>(p);
}

template <class T>
RETORT_DEVICE void mma(MmaC& c, const MmaA& a, const MmaB& b) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  float* const d = c.value;
  if constexpr (std::is_same_v<T, bf16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.pair[0]), "r"(a.pair[1]), "r"(a.pair[2]), "r"(a.pair[3]), "r"(b.pair[0]), "r"(b.pair[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a.pair[0]), "r"(a.pair[1]), "r"(a.pair[2]), "r"(a.pair[3]), "r"(b.pair[0]), "r"(b.pair[1]));
}

/// Puts a kernel into the stream; arguments are converted to its parameters.
template <class... P, class... A>
void launch(gpu::Stream stream, const char* name, const gpu::LaunchShape& shape, void (*kernel)(P...), A... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  const auto put = [&](P... parameters) {
    void* addresses[] = {const_cast<void*>(static_cast<const void*>(&parameters))...};
    static const std::size_t bytes[] = {kArgumentBytes<P>...};
    gpu::Kernel code;
    code.name = name;
    code.entry = reinterpret_cast<const void*>(kernel);
    code.arguments = addresses;
    code.argument_bytes = bytes;
    code.argument_count = sizeof...(P);
    stream.device->launch(code, shape, stream);
  };
  put(static_cast<P>(arguments)...);
}

}  // namespace retort::kernels::cuda
