// cuda_kernels/select.h -- choices, bounds, predicates and logic, element by element.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// y = condition ? a : b for elements of 1, 2, 4 or 8 bytes; y dense in row-major order. `first` of `shape` are the
/// condition's steps, `second` those of a, `third` those of b.
struct Where {
  int element_bytes;
  const void *condition, *a, *b;
  void* y;
  StridedPair shape;
  std::int64_t third[kMaxRank] = {};
};
RETORT_LAUNCHER(where, Where)

/// y = x between low and high, for n elements of f32 or bf16.
struct Clamp {
  Type type;
  const void* x;
  void* y;
  std::int64_t n;
  float low, high;
};
RETORT_LAUNCHER(clamp, Clamp)

/// y = x where it is positive, else slope x; f32 or bf16.
struct LeakyRelu {
  Type type;
  const void* x;
  void* y;
  std::int64_t n;
  float slope;
};
RETORT_LAUNCHER(leaky_relu, LeakyRelu)

/// y (bool) of n elements: whether x is no number, or finite, f32 or bf16; or the negation of a bool.
enum class Test : std::uint8_t { isnan, isfinite, logical_not };
struct Predicate {
  Test test;
  Type type;
  const void* x;
  void* y;
  std::int64_t n;
};
RETORT_LAUNCHER(predicate, Predicate)

/// y = a and b, or a or b: bools, y dense in row-major order over `shape`, a and b with its steps.
struct Logic {
  bool conjunction;
  const void *a, *b;
  void* y;
  StridedPair shape;
};
RETORT_LAUNCHER(logic, Logic)

}  // namespace retort::kernels
