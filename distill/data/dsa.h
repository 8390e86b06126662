// distill/data/dsa.h -- differentiable siamese augmentation: random changes of images that gradients pass through.
#pragma once
#include <string>
#include <vector>

#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace retort {

/// Zhao and Bilen 2021 (2102.08259): one change a call, drawn evenly from `ops`, with the ranges of their code. Images
/// are normalised; outside of them is 0.
struct Dsa {
  enum class Op : std::uint8_t { colour, crop, cutout, flip, scale, rotate };
  std::vector<Op> ops{Op::colour, Op::crop, Op::cutout, Op::flip, Op::scale, Op::rotate};
  bool siamese = true;  ///< all images of a call are changed alike; false: each on its own

  /// "color_crop_cutout_flip_scale_rotate", or any of them. Throws ConfigError naming the nearest.
  static std::vector<Op> parse(const std::string& strategy, const std::string& where);

  /// x [n, c, h, w] changed. A function of `key` (siamese: the same change for any batch) and, if each image has its
  /// own, of its number in `samples`, i64 [n]. Differentiable in x to any order.
  Tensor operator()(const Tensor& x, const RngKey& key, const Tensor& samples) const;
};

/// The changes themselves; one factor or place for each image, or one for all.

/// x + u - 1/2; mean_c + (x - mean_c) 2 s, the mean over channels; mean + (x - mean)(k + 1/2), the mean over all. u, s,
/// k in [0, 1).
Tensor dsa_colour(const Tensor& x, std::span<const double> u, std::span<const double> s, std::span<const double> k);
/// Zero inside a square of `side` pixels around (row, column), clipped at the borders: from - side / 2, side long.
Tensor dsa_cutout(const Tensor& x, std::int64_t side, std::span<const std::int64_t> row,
                  std::span<const std::int64_t> column);
/// Pixel p (relative to the centre, in half extents) reads the image at `matrix` p + offset, bilinearly. `maps` holds
/// (a b tx c d ty) for each image: horizontal a px + b py + tx, vertical c px + d py + ty.
Tensor dsa_affine(const Tensor& x, std::span<const double> maps);

}  // namespace retort
