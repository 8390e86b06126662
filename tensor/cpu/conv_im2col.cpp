// tensor/cpu/conv_im2col.cpp -- convolution pieces as matrix products over unfolded rows; depthwise ones directly.
#include <algorithm>
#include <memory>

#include "tensor/cpu/conv_kernels.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/scratch.h"

namespace retort::cpu::im2col {
namespace {

using Index = std::int64_t;

constexpr Index kPanelBytes = Index{1} << 20;  // unfolded rows that are multiplied at a time: a second-level cache

/// What the loops over groups and taps need, besides the piece.
struct Geometry : ConvPiece {
  explicit Geometry(const ConvPiece& p)
      : ConvPiece(p), group_c(c / groups), group_o(o / groups), depth(kh * kw * group_c) {}
  Index group_c, group_o;  ///< channels of x and y in a group
  Index depth;             ///< length of a row of the unfolded x

  /// x needs no unfolding: its pixels are the rows.
  bool pointwise() const {
    return kh * kw == 1 && stride_h * stride_w == 1 && (pad_top | pad_bottom | pad_left | pad_right) == 0;
  }
  bool depthwise() const { return c == groups && o == groups; }
  Index rows_per_panel(Index element_size) const {
    return std::clamp<Index>(kPanelBytes / (element_size * out_w * depth), 1, out_h);
  }
};

/// For every output pixel in rows [first, last) of image `image` and every tap: f(offset into the panel, offset into
/// x), the latter -1 where padding is.
template <class F>
void for_each_tap(const Geometry& g, Index image, Index first, Index last, const F& f) {
  Index at = 0;
  for (Index oy = first; oy < last; ++oy)
    for (Index ox = 0; ox < g.out_w; ++ox)
      for (Index i = 0; i < g.kh; ++i) {
        const Index y = oy * g.stride_h - g.pad_top + i * g.dil_h;
        for (Index j = 0; j < g.kw; ++j, at += g.group_c) {
          const Index x = ox * g.stride_w - g.pad_left + j * g.dil_w;
          const bool inside = y >= 0 && y < g.h && x >= 0 && x < g.w;
          f(at, inside ? ((image * g.h + y) * g.w + x) * g.c : Index{-1});
        }
      }
}

/// Calls f(rows, y offset of the first row, image, first, last) for panels that cover the piece.
template <class T, class F>
void for_each_panel(const Geometry& g, const F& f) {
  const Index step = g.rows_per_panel(sizeof(T));
  for (Index image = 0; image < g.n; ++image)
    for (Index first = 0; first < g.out_h; first += step) {
      const Index last = std::min(g.out_h, first + step);
      f((last - first) * g.out_w, (image * g.out_h + first) * g.out_w * g.o, image, first, last);
    }
}

/// x's pixels under the kernel: panel [rows, kh, kw, group_c], zeros where padding is.
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
  const Index pixels = g.n * g.out_h * g.out_w;
  if (bias != nullptr)
    for (Index p = 0; p < pixels; ++p) std::copy_n(bias, g.o, y + p * g.o);
  const double beta = bias != nullptr ? 1.0 : 0.0;
  for (Index group = 0; group < g.groups; ++group) {
    const MatrixView<T> weights{w + group * g.group_o * g.depth, 1, g.depth};
    T* out = y + group * g.group_o;
    if (g.pointwise()) {
      gemm(pixels, g.group_o, g.depth, 1.0, rows_of(x + group * g.group_c, g.c), weights, beta, out, g.o,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.rows_per_panel(sizeof(T)) * g.out_w * g.depth);
    for_each_panel<T>(g, [&](Index rows, Index y_at, Index image, Index first, Index last) {
      unfold(g, x + group * g.group_c, image, first, last, panel.data());
      gemm(rows, g.group_o, g.depth, 1.0, rows_of<T>(panel.data(), g.depth), weights, beta, out + y_at, g.o,
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
      gemm(g.n * g.h * g.w, g.depth, g.group_o, 1.0, rows_of(in, g.o), weights, 0.0, dx + group * g.group_c, g.c,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.rows_per_panel(sizeof(T)) * g.out_w * g.depth);
    for_each_panel<T>(g, [&](Index rows, Index y_at, Index image, Index first, Index last) {
      gemm(rows, g.depth, g.group_o, 1.0, rows_of(in + y_at, g.o), weights, 0.0, panel.data(), g.depth,
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
      gemm(g.group_o, g.depth, g.n * g.h * g.w, 1.0, gradient(0), rows_of(from, g.c), 1.0, out, g.depth,
           Engine::fallback);
      continue;
    }
    const Scratch<T> panel(g.rows_per_panel(sizeof(T)) * g.out_w * g.depth);
    for_each_panel<T>(g, [&](Index rows, Index y_at, Index image, Index first, Index last) {
      unfold(g, from, image, first, last, panel.data());
      gemm(g.group_o, g.depth, rows, 1.0, gradient(y_at), rows_of<T>(panel.data(), g.depth), 1.0, out, g.depth,
           Engine::fallback);
    });
  }
}

/// Depthwise: calls f(y offset, x offset, tap) for every pixel of y and every tap inside x; channels are the inner
/// loop.
template <class F>
void for_each_depthwise_tap(const ConvPiece& p, const F& f) {
  for (Index image = 0; image < p.n; ++image)
    for (Index oy = 0; oy < p.out_h; ++oy)
      for (Index ox = 0; ox < p.out_w; ++ox)
        for (Index i = 0; i < p.kh; ++i) {
          const Index y = oy * p.stride_h - p.pad_top + i * p.dil_h;
          if (y < 0 || y >= p.h) continue;
          for (Index j = 0; j < p.kw; ++j) {
            const Index x = ox * p.stride_w - p.pad_left + j * p.dil_w;
            if (x < 0 || x >= p.w) continue;
            f(((image * p.out_h + oy) * p.out_w + ox) * p.c, ((image * p.h + y) * p.w + x) * p.c, i * p.kw + j);
          }
        }
}

/// to[j * rows + i] = from[i * cols + j]: depthwise weights are [c, taps] for the user and [taps, c] in the loops.
template <class T>
void transpose(const T* from, Index rows, Index cols, T* to) {
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j) to[j * rows + i] = from[i * cols + j];
}

template <class T>
void depthwise_forward(const ConvPiece& p, const T* x, const T* taps, const T* bias, T* y) {
  for (Index pixel = 0; pixel < p.n * p.out_h * p.out_w; ++pixel) {
    if (bias != nullptr) {
      std::copy_n(bias, p.c, y + pixel * p.c);
    } else {
      std::fill_n(y + pixel * p.c, p.c, T(0));
    }
  }
  for_each_depthwise_tap(p, [&](Index to, Index from, Index tap) {
    const T* w = taps + tap * p.c;
    for (Index c = 0; c < p.c; ++c) y[to + c] += x[from + c] * w[c];
  });
}

template <class T>
void depthwise_backward_data(const ConvPiece& p, const T* dy, const T* taps, T* dx) {
  std::fill_n(dx, p.x_count(), T(0));
  for_each_depthwise_tap(p, [&](Index from, Index to, Index tap) {
    const T* w = taps + tap * p.c;
    for (Index c = 0; c < p.c; ++c) dx[to + c] += dy[from + c] * w[c];
  });
}

template <class T>
void depthwise_backward_weights(const ConvPiece& p, const T* x, const T* dy, T* taps) {
  std::fill_n(taps, p.c * p.kh * p.kw, T(0));
  for_each_depthwise_tap(p, [&](Index at_y, Index at_x, Index tap) {
    T* w = taps + tap * p.c;
    for (Index c = 0; c < p.c; ++c) w[c] += x[at_x + c] * dy[at_y + c];
  });
}

}  // namespace

template <class T>
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, const T* w, const T* bias) {
  const Geometry any(pieces.front().piece);
  std::shared_ptr<Scratch<T>> taps;
  if (any.depthwise()) {
    taps = std::make_shared<Scratch<T>>(any.o * any.depth);
    transpose(w, any.o, any.depth, taps->data());
  }
  return [=, &pieces](std::size_t index, const void* in, const void*, void* out) {
    const Geometry g(pieces[index].piece);
    const auto from = static_cast<const T*>(in);
    const auto to = static_cast<T*>(out);
    if (kind == ConvKind::forward) {
      if (taps) return depthwise_forward<T>(g, from, taps->data(), bias, to);
      return forward(g, from, w, bias, to);
    }
    if (taps) return depthwise_backward_data<T>(g, from, taps->data(), to);
    return backward_data(g, from, w, to);
  };
}

template <class T>
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces) {
  const Geometry any(pieces.front().piece);
  const bool depthwise = any.depthwise();
  const Index o = any.o, depth = any.depth;
  return {[&pieces, depthwise](std::size_t index, const void* x, const void* dy, void* partial) {
            const Geometry g(pieces[index].piece);
            const auto from = static_cast<const T*>(x), gradient = static_cast<const T*>(dy);
            if (depthwise) return depthwise_backward_weights(g, from, gradient, static_cast<T*>(partial));
            return backward_weights(g, from, gradient, static_cast<T*>(partial));
          },
          o * depth,
          [=](const void* sum, void* dw) {
            const auto from = static_cast<const T*>(sum);
            if (depthwise) return transpose(from, depth, o, static_cast<T*>(dw));
            std::copy_n(from, o * depth, static_cast<T*>(dw));
          }};
}

std::int64_t panel_bytes(const ConvPiece& piece, std::int64_t element_size) {
  const Geometry g(piece);
  if (g.depthwise() || g.pointwise()) return 0;
  return g.rows_per_panel(element_size) * g.out_w * g.depth * element_size;
}

template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const float*, const float*);
template PieceKernel bind(const std::vector<PlacedPiece>&, ConvKind, const double*, const double*);
template BoundWeightGradient bind_weight_gradient<float>(const std::vector<PlacedPiece>&);
template BoundWeightGradient bind_weight_gradient<double>(const std::vector<PlacedPiece>&);

}  // namespace retort::cpu::im2col
