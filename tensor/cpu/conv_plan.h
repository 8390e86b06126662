// tensor/cpu/conv_plan.h -- cuts a convolution into pieces: groups of images, or bands of rows of one image.
#pragma once
#include <compare>
#include <cstdint>
#include <vector>

#include "tensor/cpu/conv.h"

namespace retort::cpu {

/// A convolution of its own on a part of x and y: whole images [image, image + n), or one image's rows. Its padding is
/// what of the kernel's reach lies outside of the part, and so differs at the top and the bottom.
struct ConvPiece {
  std::int64_t n, c, h, w;
  std::int64_t o, out_h, out_w;
  std::int64_t kh, kw, stride_h, stride_w, dil_h, dil_w, groups;
  std::int64_t pad_top, pad_bottom, pad_left, pad_right;
  auto operator<=>(const ConvPiece&) const = default;

  std::int64_t x_count() const { return n * h * w * c; }
  std::int64_t y_count() const { return n * out_h * out_w * o; }
};
struct PlacedPiece {
  ConvPiece piece;
  std::int64_t x_offset, y_offset;  ///< first element of the part in x and in y
};

/// Pieces that partition y (forward, backward_weights) or x (backward_data). Depends on the shape alone. For
/// backward_weights there are few, since every one costs a copy of the weights: see kPartialBytes.
std::vector<PlacedPiece> plan_pieces(const ConvShape& shape, ConvKind kind);

/// Partial weight gradients take at most this much, unless two of them already take more.
inline constexpr std::int64_t kPartialBytes = std::int64_t{64} << 20;

}  // namespace retort::cpu
