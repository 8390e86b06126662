// tensor/cpu/copy.h -- copies between arrangements of the same elements.
#pragma once
#include "tensor/tensor.h"

namespace retort::cpu {

/// to = from for layouts of one shape and tensors of one dtype; layout offsets count from each tensor's first element.
/// Strides of `from` may be negative. Copies whose fastest axes differ (transpositions) go tile by tile.
void copy_elements(const Tensor& from, const Layout& from_layout, const Tensor& to, const Layout& to_layout);

}  // namespace retort::cpu
