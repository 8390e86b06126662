// tensor/cpu/conv_im2col.cpp -- convolution pieces as matrix products over unfolded pixels.
#include <algorithm>

#include "tensor/cpu/conv_kernels.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/scratch.h"

namespace retort::cpu::im2col {
namespace {

using Index = std::int64_t;

constexpr Index kPanelBytes = Index{1} << 20;  // unfolded pixels that are multiplied at a time: a second-level cache

/// What the loops over groups and taps need, besides the piece.
struct Geometry : ConvPiece {
  explicit Geometry(const ConvPiece& p)
      : ConvPiece(p), group_c(c / groups), group_o(o / groups), depth(taps() * group_c) {}
  Index group_c, group_o;  ///< channels of x and y in a group
  Index depth;             ///< length of a row of the unfolded x

  /// x needs no unfolding: its pixels are the rows.
  bool pointwise() const {
    const auto plain = [](const PieceAxis& a) {
      return a.kernel == 1 && a.stride == 1 && a.pad_begin == 0 && a.pad_end == 0;
    };
    return plain(d) && plain(h) && plain(w);
  }
  Index pixels_per_panel(Index element_size) const {
    return std::clamp<Index>(kPanelBytes / (element_size * depth), 1, y_pixels());
  }
};

/// For output pixels [first, last) of image `image` and every tap: f(offset into the panel, offset into x), the latter
/// -1 where padding is.
template <class F>
void for_each_tap(const Geometry& g, Index image, Index first, Index last, const F& f) {
  const auto inside = [](const PieceAxis& a, Index i) { return i >= 0 && i < a.size; };
  Index at = 0;
  for (Index pixel = first; pixel < last; ++pixel) {
    const Index oz = pixel / (g.h.out * g.w.out), oy = pixel / g.w.out % g.h.out, ox = pixel % g.w.out;
    for (Index k = 0; k < g.d.kernel; ++k) {
      const Index z = oz * g.d.stride - g.d.pad_begin + k * g.d.dilation;
      for (Index i = 0; i < g.h.kernel; ++i) {
        const Index y = oy * g.h.stride - g.h.pad_begin + i * g.h.dilation;
        for (Index j = 0; j < g.w.kernel; ++j, at += g.group_c) {
          const Index x = ox * g.w.stride - g.w.pad_begin + j * g.w.dilation;
          const bool seen = inside(g.d, z) && inside(g.h, y) && inside(g.w, x);
          f(at, seen ? (((image * g.d.size + z) * g.h.size + y) * g.w.size + x) * g.c : Index{-1});
        }
      }
    }
  }
}

/// Calls f(pixels, y offset of the first, image, first, last) for panels that cover the piece.
template <class T, class F>
void for_each_panel(const Geometry& g, const F& f) {
  const Index step = g.pixels_per_panel(sizeof(T));
  for (Index image = 0; image < g.n; ++image)
    for (Index first = 0; first < g.y_pixels(); first += step) {
      const Index last = std::min(g.y_pixels(), first + step);
      f(last - first, (image * g.y_pixels() + first) * g.o, image, first, last);
    }
}

/// x's pixels under the kernel: panel [pixels, kd, kh, kw, group_c], zeros where padding is.
template <class T>
void unfold(const Geometry& g, const T* x, Index image, Index first, Index last, T* panel) {
  for_each_tap(g, image, first, last, [&](Index at, Index from) {
    if (from < 0) {
      std::fill_n(panel + at, g.group_c, T(0));
    } else {
      std::copy_n(x + from, g.group_c, panel + at);
    }
  });
}
/// The transpose: adds the panel's pixels to where they came from.
template <class T>
void fold(const Geometry& g, const T* panel, Index image, Index first, Index last, T* x) {
  for_each_tap(g, image, first, last, [&](Index at, Index to) {
    if (to < 0) return;
    for (Index c = 0; c < g.group_c; ++c) x[to + c] += panel[at + c];
  });
}

template <class T>
MatrixView<T> rows_of(const T* data, Index stride) {
  return {data, stride, 1};
}

template <class T>
void forward(const Geometry& g, const T* x, const T* w, const T* bias, T* y) {
  const Index all = g.n * g.y_pixels();
  if (bias != nullptr)
    for (Index p = 0; p < all; ++p) std::copy_n(bias, g.o, y + p * g.o);
  const double beta = bias != nullptr ? 1.0 : 0.0;
  for (Index group = 0; group < g.groups; ++group) {
    const MatrixView<T> weights{w + group * g.group_o * g.depth, 1, g.depth};
    T* out = y + group * g.group_o;
    if (g.pointwise()) {
      gemm(all, g.group_o, g.depth, 1.0, rows_of(x + group * g.group_c, g.c), weights, beta, out, g.o,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.pixels_per_panel(sizeof(T)) * g.depth);
    for_each_panel<T>(g, [&](Index pixels, Index y_at, Index image, Index first, Index last) {
      unfold(g, x + group * g.group_c, image, first, last, panel.data());
      gemm(pixels, g.group_o, g.depth, 1.0, rows_of<T>(panel.data(), g.depth), weights, beta, out + y_at, g.o,
           Engine::fallback);
    });
  }
}

template <class T>
void backward_data(const Geometry& g, const T* dy, const T* w, T* dx) {
  if (!g.pointwise()) std::fill_n(dx, g.x_count(), T(0));
  for (Index group = 0; group < g.groups; ++group) {
    const auto weights = rows_of(w + group * g.group_o * g.depth, g.depth);
    const T* in = dy + group * g.group_o;
    if (g.pointwise()) {
      gemm(g.n * g.x_pixels(), g.depth, g.group_o, 1.0, rows_of(in, g.o), weights, 0.0, dx + group * g.group_c, g.c,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.pixels_per_panel(sizeof(T)) * g.depth);
    for_each_panel<T>(g, [&](Index pixels, Index y_at, Index image, Index first, Index last) {
      gemm(pixels, g.depth, g.group_o, 1.0, rows_of(in + y_at, g.o), weights, 0.0, panel.data(), g.depth,
           Engine::fallback);
      fold(g, panel.data(), image, first, last, dx + group * g.group_c);
    });
  }
}

template <class T>
void backward_weights(const Geometry& g, const T* x, const T* dy, T* dw) {
  std::fill_n(dw, g.o * g.depth, T(0));
  for (Index group = 0; group < g.groups; ++group) {
    const T* from = x + group * g.group_c;
    const auto gradient = [&](Index y_at) { return MatrixView<T>{dy + group * g.group_o + y_at, 1, g.o}; };
    T* out = dw + group * g.group_o * g.depth;
    if (g.pointwise()) {
      gemm(g.group_o, g.depth, g.n * g.x_pixels(), 1.0, gradient(0), rows_of(from, g.c), 1.0, out, g.depth,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.pixels_per_panel(sizeof(T)) * g.depth);
    for_each_panel<T>(g, [&](Index pixels, Index y_at, Index image, Index first, Index last) {
      unfold(g, from, image, first, last, panel.data());
      gemm(g.group_o, g.depth, pixels, 1.0, gradient(y_at), rows_of<T>(panel.data(), g.depth), 1.0, out, g.depth,
           Engine::fallback);
    });
  }
}

}  // namespace

template <class T>
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, const T* w, const T* bias) {
  return [=, &pieces](std::size_t index, const void* in, const void*, void* out) {
    const Geometry g(pieces[index].piece);
    const auto from = static_cast<const T*>(in);
    const auto to = static_cast<T*>(out);
    if (kind == ConvKind::forward) return forward(g, from, w, bias, to);
    return backward_data(g, from, w, to);
  };
}

template <class T>
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces) {
  const Geometry any(pieces.front().piece);
  const Index count = any.o * any.depth;
  return {[&pieces](std::size_t index, const void* x, const void* dy, void* partial) {
            const Geometry g(pieces[index].piece);
            backward_weights(g, static_cast<const T*>(x), static_cast<const T*>(dy), static_cast<T*>(partial));
          },
          count,
          [count](const void* sum, void* dw) { std::copy_n(static_cast<const T*>(sum), count, static_cast<T*>(dw)); }};
}

std::int64_t panel_bytes(const ConvPiece& piece, std::int64_t element_size) {
  const Geometry g(piece);
  return g.pointwise() ? 0 : g.pixels_per_panel(element_size) * g.depth * element_size;
}

template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const float*, const float*);
template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const double*, const double*);
template BoundWeightGradient bind_weight_gradient<float>(const std::vector<PlacedPiece>&);
template BoundWeightGradient bind_weight_gradient<double>(const std::vector<PlacedPiece>&);

}  // namespace retort::cpu::im2col
