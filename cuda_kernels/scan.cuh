// cuda_kernels/scan.cuh -- the body of scans: a block per row, which goes over it in chunks of an element per thread
// and carries the state from chunk to chunk.
#pragma once
#include "cuda_kernels/rows.cuh"
#include "cuda_kernels/scan.h"

namespace retort::kernels::RETORT_BACKEND {

inline constexpr unsigned kScanThreads = 256;
inline constexpr unsigned kScanWarps = kScanThreads / kWarpSize;

// A rule is a state with an associative join: what some elements do together, then later ones.
struct SumScan {
  float value;
  RETORT_DEVICE static SumScan identity() { return {0.0f}; }
  RETORT_DEVICE static SumScan of(float x, float) { return {x}; }
  RETORT_DEVICE static SumScan join(const SumScan& a, const SumScan& b) { return {a.value + b.value}; }
  RETORT_DEVICE SumScan from(unsigned lane) const { return {shuffle(kFullWarp, value, lane)}; }
};
struct ProductScan {
  float value;
  RETORT_DEVICE static ProductScan identity() { return {1.0f}; }
  RETORT_DEVICE static ProductScan of(float x, float) { return {x}; }
  RETORT_DEVICE static ProductScan join(const ProductScan& a, const ProductScan& b) { return {a.value * b.value}; }
  RETORT_DEVICE ProductScan from(unsigned lane) const { return {shuffle(kFullWarp, value, lane)}; }
};
/// log(e^a + e^b); NaN when either is, and infinities as they are.
struct LogSumScan {
  float value;
  RETORT_DEVICE static LogSumScan identity() { return {-__builtin_inff()}; }
  RETORT_DEVICE static LogSumScan of(float x, float) { return {x}; }
  RETORT_DEVICE static LogSumScan join(const LogSumScan& a, const LogSumScan& b) {
    if (b.value == -__builtin_inff()) return a;
    const float apart = a.value > b.value ? b.value - a.value : a.value - b.value;
    const float distance = a.value == b.value ? 0.0f : apart;  // two equal infinities have none
    return {(a.value > b.value ? a.value : b.value) + log1p_fast(exp_fast(distance))};
  }
  RETORT_DEVICE LogSumScan from(unsigned lane) const { return {shuffle(kFullWarp, value, lane)}; }
};
/// The map y -> factor y + value.
struct RecurrenceScan {
  float value, factor;
  RETORT_DEVICE static RecurrenceScan identity() { return {0.0f, 1.0f}; }
  RETORT_DEVICE static RecurrenceScan of(float x, float a) { return {x, a}; }
  RETORT_DEVICE static RecurrenceScan join(const RecurrenceScan& a, const RecurrenceScan& b) {
    return {fmaf(b.factor, a.value, b.value), a.factor * b.factor};
  }
  RETORT_DEVICE RecurrenceScan from(unsigned lane) const {
    return {shuffle(kFullWarp, value, lane), shuffle(kFullWarp, factor, lane)};
  }
};

template <class T, class Rule>
RETORT_KERNEL void scan_rows(In<T> x, In<T> a, Out<T> y, std::int64_t columns, bool reverse, bool exclusive) {
  RETORT_SHARED(Rule, totals, kScanWarps);
  const unsigned t = thread_index().x, lane = t % kWarpSize, warp = t / kWarpSize;
  const unsigned warps = block_extent().x / kWarpSize;
  const std::int64_t start = block_index().x * columns;
  Rule carry = Rule::identity();
  for (std::int64_t begin = 0; begin < columns; begin += block_extent().x) {
    const std::int64_t i = begin + t, at_row = start + (reverse ? columns - 1 - i : i);
    Rule state = Rule::identity();
    if (i < columns) state = Rule::of(at(x, at_row), a ? at(a, at_row) : 1.0f);
    for (unsigned step = 1; step < kWarpSize; step *= 2) {
      const Rule earlier = state.from(lane >= step ? lane - step : lane);
      if (lane >= step) state = Rule::join(earlier, state);
    }
    const Rule before = state.from(lane > 0 ? lane - 1 : lane);
    if (lane == kWarpSize - 1) totals[warp] = state;
    sync_block();
    Rule here = carry;
    for (unsigned w = 0; w < warps; ++w) {
      if (w == warp) here = carry;
      carry = Rule::join(carry, totals[w]);
    }
    const Rule after = Rule::join(here, exclusive ? before : state);
    if (i < columns) y[at_row] = narrow<T>(exclusive && lane == 0 ? here.value : after.value);
    sync_block();
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
