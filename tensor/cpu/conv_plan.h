// tensor/cpu/conv_plan.h -- cuts a convolution into pieces: groups of images, or bands of one image.
#pragma once
#include <compare>
#include <cstdint>
#include <vector>

#include "tensor/cpu/conv.h"

namespace retort::cpu {

/// One axis of a piece; its padding differs between the ends.
struct PieceAxis {
  std::int64_t size, out, kernel, stride, dilation, pad_begin, pad_end;
  auto operator<=>(const PieceAxis&) const = default;
};

/// A convolution of its own on a part of x and y: whole images [image, image + n), or a band of one image. Its padding
/// is what of the kernel's reach lies outside of the part.
struct ConvPiece {
  std::int64_t n, c, o, groups;
  PieceAxis d, h, w;
  auto operator<=>(const ConvPiece&) const = default;

  std::int64_t x_pixels() const { return d.size * h.size * w.size; }  ///< of an image of the part
  std::int64_t y_pixels() const { return d.out * h.out * w.out; }
  std::int64_t x_count() const { return n * x_pixels() * c; }
  std::int64_t y_count() const { return n * y_pixels() * o; }
  std::int64_t taps() const { return d.kernel * h.kernel * w.kernel; }
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
