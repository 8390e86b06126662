// tensor/cpu/conv_plan.cpp -- geometry of the pieces of a convolution.
#include "tensor/cpu/conv_plan.h"

#include <algorithm>

namespace retort::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kMaxPieces = 32;
constexpr Index kFewImages = 8;  // below this many images, bands of rows give threads something to do
constexpr Index kMaxPartials = 8;
constexpr double kPieceWork = 2097152;  // floating-point operations worth a piece of their own (about 20 us)

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

ConvPiece whole_images(const ConvShape& s, Index images) {
  return {images,     s.c,        s.h,     s.w,     s.o,      s.out_h(), s.out_w(), s.kh,    s.kw,
          s.stride_h, s.stride_w, s.dil_h, s.dil_w, s.groups, s.pad_h,   s.pad_h,   s.pad_w, s.pad_w};
}

/// The piece that computes y's rows [first, last) of an image: x's rows follow.
PlacedPiece y_band(const ConvShape& s, Index image, Index first, Index last) {
  const Index begin = first * s.stride_h - s.pad_h, end = (last - 1) * s.stride_h - s.pad_h + s.extent_h();
  const Index from = std::max<Index>(0, begin), to = std::min(s.h, end);
  ConvPiece p = whole_images(s, 1);
  p.h = to - from;
  p.out_h = last - first;
  p.pad_top = from - begin;
  p.pad_bottom = end - to;
  return {p, (image * s.h + from) * s.w * s.c, (image * s.out_h() + first) * s.out_w() * s.o};
}

/// The piece that computes the gradient of x's rows [first, last) from the rows of y that see them.
PlacedPiece x_band(const ConvShape& s, Index image, Index first, Index last) {
  const Index from = std::max<Index>(0, ceil_div(std::max<Index>(0, first + s.pad_h - s.extent_h() + 1), s.stride_h));
  const Index to = std::min(s.out_h(), (last - 1 + s.pad_h) / s.stride_h + 1);
  ConvPiece p = whole_images(s, 1);
  p.h = last - first;
  p.out_h = to - from;
  p.pad_top = first + s.pad_h - from * s.stride_h;
  // Rows past the kernel's last reach (fewer than a stride of them) need no padding and get gradient zero.
  p.pad_bottom = std::max<Index>(0, (p.out_h - 1) * s.stride_h + s.extent_h() - p.h - p.pad_top);
  return {p, (image * s.h + first) * s.w * s.c, (image * s.out_h() + from) * s.out_w() * s.o};
}

/// Row at which band `i` of `bands` begins. Bands of x begin where a kernel position begins.
Index band_start(const ConvShape& s, ConvKind kind, Index bands, Index i) {
  const bool of_x = kind == ConvKind::backward_data;
  const Index rows = of_x ? s.h : s.out_h();
  if (i == 0 || i == bands) return i == 0 ? 0 : rows;
  const Index start = rows * i / bands;
  return of_x ? (start + s.pad_h) / s.stride_h * s.stride_h - s.pad_h : start;
}

/// Bands are cut only where each keeps at least this many rows, so that every one sees some of the image.
Index min_band(const ConvShape& s, ConvKind kind) {
  return kind == ConvKind::backward_data ? 2 * (s.extent_h() + s.stride_h + s.pad_h) : 2;
}

}  // namespace

std::vector<PlacedPiece> plan_pieces(const ConvShape& s, ConvKind kind) {
  const bool weights = kind == ConvKind::backward_weights;
  // Thin convolutions are bound by memory: a number moved weighs as much as 16 operations.
  const double traffic = 16.0 * double(s.n) * double(s.h * s.w * s.c + s.out_h() * s.out_w() * s.o);
  Index most = std::clamp<Index>(static_cast<Index>(std::max(s.flops(), traffic) / kPieceWork), 1,
                                 weights ? kMaxPartials : kMaxPieces);
  if (weights) most = std::clamp<Index>(kPartialBytes / (4 * s.weights()), std::min<Index>(2, most), most);
  const Index rows = kind == ConvKind::backward_data ? s.h : s.out_h();
  const Index bands =
      s.n >= kFewImages || s.pad_h >= s.extent_h()
          ? 1
          : std::clamp<Index>(std::min(most, kFewImages) / s.n, 1, std::max<Index>(1, rows / min_band(s, kind)));
  std::vector<PlacedPiece> pieces;
  if (bands > 1) {
    for (Index image = 0; image < s.n; ++image)
      for (Index i = 0; i < bands; ++i) {
        const Index first = band_start(s, kind, bands, i), last = band_start(s, kind, bands, i + 1);
        pieces.push_back(kind == ConvKind::backward_data ? x_band(s, image, first, last)
                                                         : y_band(s, image, first, last));
      }
    return pieces;
  }
  const Index images = ceil_div(s.n, std::min(most, s.n));
  for (Index image = 0; image < s.n; image += images)
    pieces.push_back(
        {whole_images(s, std::min(images, s.n - image)), image * s.h * s.w * s.c, image * s.out_h() * s.out_w() * s.o});
  return pieces;
}

}  // namespace retort::cpu
