// tensor/cpu/conv_depthwise.cpp -- convolution pieces that keep channels apart: loops bound by memory, vectorised over
// channels.
#include <algorithm>
#include <memory>
#include <type_traits>

#include "tensor/cpu/conv_kernels.h"
#include "tensor/cpu/scratch.h"

namespace retort::cpu::depthwise {
namespace {

using Index = std::int64_t;

/// A tap that meets the image along one axis, and where.
struct Tap {
  Index tap, at;
};
/// The taps of every position of y (or, for the gradient, of x) along one axis that meet the other image.
using AxisTaps = std::vector<std::vector<Tap>>;

AxisTaps taps_of_y(const PieceAxis& a) {
  AxisTaps taps(static_cast<std::size_t>(a.out));
  for (Index o = 0; o < a.out; ++o)
    for (Index k = 0; k < a.kernel; ++k) {
      const Index i = o * a.stride - a.pad_begin + k * a.dilation;
      if (i >= 0 && i < a.size) taps[static_cast<std::size_t>(o)].push_back({k, i});
    }
  return taps;
}
AxisTaps taps_of_x(const PieceAxis& a) {
  AxisTaps taps(static_cast<std::size_t>(a.size));
  for (Index o = 0; o < a.out; ++o)
    for (Index k = 0; k < a.kernel; ++k) {
      const Index i = o * a.stride - a.pad_begin + k * a.dilation;
      if (i >= 0 && i < a.size) taps[static_cast<std::size_t>(i)].push_back({k, o});
    }
  return taps;
}

/// Sizes of the image that is read, and the kernel.
struct Source {
  Index d, h, w, kernel_h, kernel_w, c;
  Index pixel(Index image, Index z, Index y, Index x) const { return ((image * d + z) * h + y) * w + x; }
};

/// Calls f(offset of the pixel in the image that is walked, list of (tap, offset in the source)) for every pixel.
template <class F>
void for_each_pixel(Index n, const AxisTaps& zs, const AxisTaps& ys, const AxisTaps& xs, const Source& s, const F& f) {
  std::vector<Tap> terms;
  Index at = 0;
  for (Index image = 0; image < n; ++image)
    for (const auto& z_taps : zs)
      for (const auto& y_taps : ys)
        for (const auto& x_taps : xs) {
          terms.clear();
          for (const Tap& z : z_taps)
            for (const Tap& y : y_taps)
              for (const Tap& x : x_taps)
                terms.push_back({((z.tap * s.kernel_h + y.tap) * s.kernel_w + x.tap) * s.c,
                                 s.pixel(image, z.at, y.at, x.at) * s.c});
          f(at, terms);
          at += s.c;
        }
}

/// sum += weights x source over kN terms, for all channels.
template <int kN, class T>
void add_terms(const Tap* terms, Index channels, const T* source, const T* weights, T* sum) {
  const T *from[kN], *w[kN];
  for (int k = 0; k < kN; ++k) {
    from[k] = source + terms[k].at;
    w[k] = weights + terms[k].tap;
  }
#pragma omp simd
  for (Index c = 0; c < channels; ++c) {
    T total = sum[c];
    for (int k = 0; k < kN; ++k) total += w[k][c] * from[k][c];
    sum[c] = total;
  }
}

/// sums += source x gradient over kN terms, for all channels.
template <int kN, class T>
void add_products(const Tap* terms, Index channels, const T* source, const T* gradient, T* sums) {
  const T* from[kN];
  T* sum[kN];
  for (int k = 0; k < kN; ++k) {
    from[k] = source + terms[k].at;
    sum[k] = sums + terms[k].tap;
  }
#pragma omp simd
  for (Index c = 0; c < channels; ++c)
    for (int k = 0; k < kN; ++k) sum[k][c] += from[k][c] * gradient[c];
}

/// Calls f(first, count as a constant) for runs of a list of terms, as long as the rows of the usual kernels: what is
/// shared by the terms of a run is loaded once.
template <class F>
void for_each_run(const std::vector<Tap>& terms, const F& f) {
  const Tap *at = terms.data(), *const end = at + terms.size();
  for (; end - at >= 5; at += 5) f(at, std::integral_constant<int, 5>());
  for (; end - at >= 3; at += 3) f(at, std::integral_constant<int, 3>());
  for (; end - at >= 1; at += 1) f(at, std::integral_constant<int, 1>());
}

/// out = bias + sum of weights x source over the taps of every pixel: both the convolution and its gradient in x.
template <class T>
void gather(Index n, const AxisTaps& zs, const AxisTaps& ys, const AxisTaps& xs, const Source& s, const T* source,
            const T* weights, const T* bias, T* out) {
  for_each_pixel(n, zs, ys, xs, s, [&](Index at, const std::vector<Tap>& terms) {
    if (bias != nullptr)
      std::copy_n(bias, s.c, out + at);
    else
      std::fill_n(out + at, s.c, T(0));
    for_each_run(terms, [&](const Tap* run, auto count) {
      add_terms<decltype(count)::value>(run, s.c, source, weights, out + at);
    });
  });
}

/// to[j * rows + i] = from[i * cols + j]: weights are [c, taps] for the user and [taps, c] in the loops.
template <class T>
void transpose(const T* from, Index rows, Index cols, T* to) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
}

template <class T>
void weight_gradient(const ConvPiece& p, const T* x, const T* dy, T* taps) {
  std::fill_n(taps, p.c * p.taps(), T(0));
  const Source s{p.d.size, p.h.size, p.w.size, p.h.kernel, p.w.kernel, p.c};
  for_each_pixel(p.n, taps_of_y(p.d), taps_of_y(p.h), taps_of_y(p.w), s, [&](Index at, const std::vector<Tap>& terms) {
    for_each_run(terms,
                 [&](const Tap* run, auto count) { add_products<decltype(count)::value>(run, s.c, x, dy + at, taps); });
  });
}

}  // namespace

template <class T>
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, const T* w, const T* bias) {
  const ConvPiece& any = pieces.front().piece;
  const auto taps = std::make_shared<Scratch<T>>(any.c * any.taps());
  transpose(w, any.c, any.taps(), taps->data());
  return [=, &pieces](std::size_t index, const void* in, const void*, void* out) {
    const ConvPiece& p = pieces[index].piece;
    const auto from = static_cast<const T*>(in);
    const auto to = static_cast<T*>(out);
    if (kind == ConvKind::forward)
      gather<T>(p.n, taps_of_y(p.d), taps_of_y(p.h), taps_of_y(p.w),
                {p.d.size, p.h.size, p.w.size, p.h.kernel, p.w.kernel, p.c}, from, taps->data(), bias, to);
    else
      gather<T>(p.n, taps_of_x(p.d), taps_of_x(p.h), taps_of_x(p.w),
                {p.d.out, p.h.out, p.w.out, p.h.kernel, p.w.kernel, p.c}, from, taps->data(), nullptr, to);
  };
}

template <class T>
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces) {
  const Index c = pieces.front().piece.c, taps = pieces.front().piece.taps();
  return {[&pieces](std::size_t index, const void* x, const void* dy, void* partial) {
            weight_gradient(pieces[index].piece, static_cast<const T*>(x), static_cast<const T*>(dy),
                            static_cast<T*>(partial));
          },
          c * taps,
          [=](const void* sum, void* dw) { transpose(static_cast<const T*>(sum), taps, c, static_cast<T*>(dw)); }};
}

template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const float*, const float*);
template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const double*, const double*);
template BoundWeightGradient bind_weight_gradient<float>(const std::vector<PlacedPiece>&);
template BoundWeightGradient bind_weight_gradient<double>(const std::vector<PlacedPiece>&);

}  // namespace retort::cpu::depthwise
