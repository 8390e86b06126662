// tensor/attrs.h -- the non-tensor arguments that kernels read, one struct per op family.
#pragma once
#include <cstdint>

#include "tensor/shape.h"

namespace retort {

/// Reductions: bit a set = axis a is reduced.
struct ReduceAttrs {
  std::uint32_t axes = 0;
  bool keepdim = false;
};

}  // namespace retort
