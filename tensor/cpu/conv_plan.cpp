// tensor/cpu/conv_plan.cpp -- geometry of the pieces of a convolution.
#include "tensor/cpu/conv_plan.h"

#include <algorithm>

namespace retort::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kMaxPieces = 32;
constexpr Index kFewImages = 8;  // below this many images, bands give threads something to do
constexpr Index kMaxPartials = 8;
constexpr double kPieceWork = 2097152;  // floating-point operations worth a piece of their own (about 20 us)

constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

PieceAxis whole(const ConvAxis& a) { return {a.size, a.out(), a.kernel, a.stride, a.dilation, a.pad, a.pad}; }

ConvPiece whole_images(const ConvShape& s, Index images) {
  return {images, s.c, s.o, s.groups, whole(s.d), whole(s.h), whole(s.w)};
}

/// The outermost axis that is more than one position: bands along it lie in one piece of memory.
struct BandAxis {
  const ConvAxis& whole;
  PieceAxis ConvPiece::*part;
  Index x_line, y_line;  ///< pixels per position in x and in y
};
BandAxis band_axis(const ConvShape& s) {
  const auto single = [](const ConvAxis& a) { return a.size == 1 && a.out() == 1; };
  if (!single(s.d)) return {s.d, &ConvPiece::d, s.h.size * s.w.size, s.h.out() * s.w.out()};
  if (!single(s.h)) return {s.h, &ConvPiece::h, s.w.size, s.w.out()};
  return {s.w, &ConvPiece::w, 1, 1};
}

/// The piece that computes positions [first, last) of y: those of x follow.
PlacedPiece y_band(const ConvShape& s, const BandAxis& axis, Index image, Index first, Index last) {
  const ConvAxis& a = axis.whole;
  const Index begin = first * a.stride - a.pad, end = (last - 1) * a.stride - a.pad + a.extent();
  const Index from = std::max<Index>(0, begin), to = std::min(a.size, end);
  ConvPiece piece = whole_images(s, 1);
  PieceAxis& p = piece.*axis.part;
  p.size = to - from;
  p.out = last - first;
  p.pad_begin = from - begin;
  p.pad_end = end - to;
  return {piece, (image * s.x_pixels() + from * axis.x_line) * s.c, (image * s.y_pixels() + first * axis.y_line) * s.o};
}

/// The piece that computes the gradient of positions [first, last) of x from those of y that see them.
PlacedPiece x_band(const ConvShape& s, const BandAxis& axis, Index image, Index first, Index last) {
  const ConvAxis& a = axis.whole;
  const Index from = std::max<Index>(0, ceil_div(std::max<Index>(0, first + a.pad - a.extent() + 1), a.stride));
  const Index to = std::min(a.out(), (last - 1 + a.pad) / a.stride + 1);
  ConvPiece piece = whole_images(s, 1);
  PieceAxis& p = piece.*axis.part;
  p.size = last - first;
  p.out = to - from;
  p.pad_begin = first + a.pad - from * a.stride;
  // Positions past the kernel's last reach (fewer than a stride of them) need no padding and get gradient zero.
  p.pad_end = std::max<Index>(0, (p.out - 1) * a.stride + a.extent() - p.size - p.pad_begin);
  return {piece, (image * s.x_pixels() + first * axis.x_line) * s.c, (image * s.y_pixels() + from * axis.y_line) * s.o};
}

/// Position at which band `i` of `bands` begins. Bands of x begin where a kernel position begins.
Index band_start(const ConvAxis& a, bool of_x, Index bands, Index i) {
  const Index positions = of_x ? a.size : a.out();
  if (i == 0 || i == bands) return i == 0 ? 0 : positions;
  const Index start = positions * i / bands;
  return of_x ? (start + a.pad) / a.stride * a.stride - a.pad : start;
}

}  // namespace

std::vector<PlacedPiece> plan_pieces(const ConvShape& s, ConvKind kind) {
  const bool of_weights = kind == ConvKind::backward_weights, of_x = kind == ConvKind::backward_data;
  // Thin convolutions are bound by memory: a number moved weighs as much as 16 operations.
  const double traffic = 16.0 * double(s.n) * double(s.x_pixels() * s.c + s.y_pixels() * s.o);
  Index most = std::clamp<Index>(static_cast<Index>(std::max(s.flops(), traffic) / kPieceWork), 1,
                                 of_weights ? kMaxPartials : kMaxPieces);
  if (of_weights) most = std::clamp<Index>(kPartialBytes / (4 * s.weights()), std::min<Index>(2, most), most);
  const BandAxis axis = band_axis(s);
  const ConvAxis& a = axis.whole;
  // Every band keeps enough positions to see some of the image.
  const Index least = of_x ? 2 * (a.extent() + a.stride + a.pad) : 2;
  const Index bands = s.n >= kFewImages || a.pad >= a.extent()
                          ? 1
                          : std::clamp<Index>(std::min(most, kFewImages) / s.n, 1,
                                              std::max<Index>(1, (of_x ? a.size : a.out()) / least));
  std::vector<PlacedPiece> pieces;
  if (bands > 1) {
    for (Index image = 0; image < s.n; ++image)
      for (Index i = 0; i < bands; ++i) {
        const Index first = band_start(a, of_x, bands, i), last = band_start(a, of_x, bands, i + 1);
        pieces.push_back(of_x ? x_band(s, axis, image, first, last) : y_band(s, axis, image, first, last));
      }
    return pieces;
  }
  const Index images = ceil_div(s.n, std::min(most, s.n));
  for (Index image = 0; image < s.n; image += images)
    pieces.push_back(
        {whole_images(s, std::min(images, s.n - image)), image * s.x_pixels() * s.c, image * s.y_pixels() * s.o});
  return pieces;
}

}  // namespace retort::cpu
