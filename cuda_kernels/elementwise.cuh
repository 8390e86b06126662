// cuda_kernels/elementwise.cuh -- bodies of the elementwise kernels.
#pragma once
#include "cuda_kernels/elementwise.h"
#include "cuda_kernels/strided.cuh"
#include "tensor/elementwise.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr int kElementThreads = 256;

/// Elements in 16 bytes.
template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <class F, class T>
RETORT_DEVICE T apply(T x) {
  return narrow<T>(F{}(widen(x)));
}

/// One pack per thread; what is left over, or everything when not `packed`, one element per thread.
template <class F, class T>
RETORT_KERNEL void map_unary(In<T> x, Out<T> y, std::int64_t n, bool packed) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  const std::int64_t packs = packed ? n / kPack<T> : 0;
  if (i < packs) {
    auto pack = load_pack<kPack<T>>(x + i * kPack<T>);
    RETORT_UNROLL
    for (int k = 0; k < kPack<T>; ++k) pack.value[k] = apply<F>(pack.value[k]);
    store_pack<kPack<T>>(y + i * kPack<T>, pack);
    return;
  }
  const std::int64_t single = packs * kPack<T> + (i - packs);
  if (single < n) y[single] = apply<F>(static_cast<T>(x[single]));
}

template <class F, class T, class R>
RETORT_DEVICE R apply(T a, T b) {
  if constexpr (std::is_same_v<R, bool>)
    return F{}(widen(a), widen(b));
  else
    return narrow<R>(F{}(widen(a), widen(b)));
}

/// Both operands dense.
template <class F, class T, class R>
RETORT_KERNEL void map_binary(In<T> a, In<T> b, Out<R> y, std::int64_t n, bool packed) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  const std::int64_t packs = packed ? n / kPack<T> : 0;
  if (i < packs) {
    const auto left = load_pack<kPack<T>>(a + i * kPack<T>), right = load_pack<kPack<T>>(b + i * kPack<T>);
    Pack<R, kPack<T>> result;
    RETORT_UNROLL
    for (int k = 0; k < kPack<T>; ++k) result.value[k] = apply<F, T, R>(left.value[k], right.value[k]);
    store_pack<kPack<T>>(y + i * kPack<T>, result);
    return;
  }
  const std::int64_t single = packs * kPack<T> + (i - packs);
  if (single < n) y[single] = apply<F, T, R>(a[single], b[single]);
}

/// Any steps, one element per thread.
template <class F, class T, class R>
RETORT_KERNEL void map_binary_strided(In<T> a, In<T> b, Out<R> y, std::int64_t n, StridedPair shape) {
  const std::int64_t i = std::int64_t{block_index().x} * block_extent().x + thread_index().x;
  if (i >= n) return;
  const Places at = places_of(i, shape);
  y[i] = apply<F, T, R>(a[at.first], b[at.second]);
}

/// Whether steps are those of a dense tensor in row-major order.
inline bool dense(const StridedPair& shape, const std::int64_t* steps) {
  std::int64_t expected = 1;
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    if (shape.extent[axis] != 1 && steps[axis] != expected) return false;
    expected *= shape.extent[axis];
  }
  return true;
}
inline bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }
/// Threads for n elements of T, the leftover of packs included.
template <class T>
gpu::LaunchShape element_shape(std::int64_t n, bool packed) {
  const std::int64_t threads = packed ? n / kPack<T> + n % kPack<T> : n;
  return threads_for(threads, kElementThreads);
}

}  // namespace retort::kernels::RETORT_BACKEND
