// distill/data/image_grid.h -- many small images as one picture.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace retort {

/// Images [n, C, H, W] (C 1, or 3 and more, of which three are shown) in rows of `columns`, a white line after each,
/// enlarged `scale` times, as an encoded PNG. Channel c goes from black[c] to white[c]; values beyond are cut off.
std::vector<std::uint8_t> image_grid_png(const Tensor& images, const std::vector<double>& black,
                                         const std::vector<double>& white, std::int64_t columns, int scale);

}  // namespace retort
