// distill/data/hog.h -- histograms of oriented gradients: a target for masked image modelling.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// x [n, c, h, w] -> [n, c bins, h / cell, w / cell], constants: in every cell the lengths of the pixels' gradients
/// (differences of neighbours, mirrored at borders) summed into `bins` ranges of their direction, opposite directions
/// alike; the histogram of a cell and channel has unit length, or is 0 (Dalal and Triggs 2005; Wei et al. 2022,
/// 2112.09133). Throws ShapeError when cells do not tile the image.
Tensor oriented_gradients(const Tensor& x, std::int64_t cell = 8, std::int64_t bins = 9);

}  // namespace retort
