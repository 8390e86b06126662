// tensor/cpu/conv.cpp -- runs the pieces of a convolution in parallel, converts 16-bit floats, adds partial gradients.
#include "tensor/cpu/conv.h"

#include <algorithm>
#include <optional>
#include <type_traits>

#include "tensor/cpu/conv_kernels.h"
#include "tensor/cpu/scratch.h"
#include "tensor/cpu/tasks.h"
#include "tensor/error.h"

namespace retort::cpu {
namespace {

using Index = std::int64_t;

constexpr Index kSumBlock = 16384;  // numbers of a gradient that a task adds up or converts

template <class From, class To>
void convert(const From* from, Index count, To* to) {
  for (Index i = 0; i < count; ++i) to[i] = static_cast<To>(from[i]);
}

template <class F>
void for_each_block(Index count, const F& f) {
  parallel_tasks((count + kSumBlock - 1) / kSumBlock,
                 [&](Index block) { f(block * kSumBlock, std::min(count, (block + 1) * kSumBlock)); });
}

/// `from` itself when it has type C already, else a converted copy.
template <class T, class C>
class Converted {
 public:
  Converted(const T* from, Index count) : copy_(kSame || from == nullptr ? 0 : count), data_(nullptr) {
    if constexpr (kSame) {
      data_ = from;
    } else if (from != nullptr) {
      convert(from, count, copy_.data());
      data_ = copy_.data();
    }
  }
  const C* data() const { return data_; }

 private:
  static constexpr bool kSame = std::is_same_v<T, C>;
  Scratch<C> copy_;
  const C* data_;
};

/// oneDNN has no depthwise kernels for three axes, nor for the weights of kernels of more than three taps along an
/// axis: what it does instead takes three times as long as our loops.
bool library_covers(const ConvShape& s, ConvKind kind) {
  if (!s.depthwise()) return true;
  return s.d.trivial() && (kind != ConvKind::backward_weights || std::max(s.h.kernel, s.w.kernel) <= 3);
}
template <class T>
bool uses_onednn(const ConvShape& s, ConvKind kind, Engine engine) {
  return engine == Engine::onednn && !std::is_same_v<T, double> && library_covers(s, kind);
}
/// Whether pieces are computed on elements of T; otherwise they are converted to the compute type.
template <class T>
bool runs_native(const ConvShape& s, ConvKind kind, Engine engine) {
  return std::is_same_v<T, compute_t<T>> || (uses_onednn<T>(s, kind, engine) && onednn::native(dtype_of<T>));
}

template <class C>
PieceKernel bind(const ConvShape& shape, const std::vector<PlacedPiece>& pieces, ConvKind kind, const C* w,
                 const C* bias, Engine engine) {
  if (uses_onednn<C>(shape, kind, engine)) return onednn::bind(pieces, kind, dtype_of<C>, w, bias);
  if constexpr (std::is_same_v<C, compute_t<C>>) {
    if (shape.depthwise()) return depthwise::bind(pieces, kind, w, bias);
    return im2col::bind(pieces, kind, w, bias);
  }
  throw InternalError("conv: no kernel for {} without oneDNN", name_of(dtype_of<C>));
}
template <class C>
BoundWeightGradient bind_weight_gradient(const ConvShape& shape, const std::vector<PlacedPiece>& pieces,
                                         Engine engine) {
  if (uses_onednn<C>(shape, ConvKind::backward_weights, engine))
    return onednn::bind_weight_gradient(pieces, dtype_of<C>);
  if constexpr (std::is_same_v<C, compute_t<C>>) {
    if (shape.depthwise()) return depthwise::bind_weight_gradient<C>(pieces);
    return im2col::bind_weight_gradient<C>(pieces);
  }
  throw InternalError("conv: no kernel for {} without oneDNN", name_of(dtype_of<C>));
}

/// An epilogue ready to run. Coefficients are repeated to a row of several pixels, since loops over few channels are
/// slow.
template <class T>
class Finish {
  using C = compute_t<T>;

 public:
  Finish(const ConvEpilogue<T>& epilogue, Index o)
      : epilogue_(epilogue), width_(o * ((kRow + o - 1) / o)), coefficients_(2 * width_) {
    for (Index at = 0; at < width_; at += o) {
      std::copy_n(epilogue.scale, o, coefficients_.data() + at);
      std::copy_n(epilogue.shift, o, coefficients_.data() + width_ + at);
    }
  }
  /// Elements [begin, begin + count) of y, whole pixels.
  void operator()(T* y, Index begin, Index count) const {
    const C *scale = coefficients_.data(), *shift = scale + width_;
    const C low = epilogue_.low, high = epilogue_.high;
    for (Index at = begin; at < begin + count; at += width_) {
      const Index n = std::min(width_, begin + count - at);
      T* const row = y + at;
      if (epilogue_.residual != nullptr) {
        const T* const residual = epilogue_.residual + at;
#pragma omp simd
        for (Index i = 0; i < n; ++i)
          row[i] = static_cast<T>(
              limited(static_cast<C>(row[i]) * scale[i] + shift[i] + static_cast<C>(residual[i]), low, high));
      } else {
#pragma omp simd
        for (Index i = 0; i < n; ++i)
          row[i] = static_cast<T>(limited(static_cast<C>(row[i]) * scale[i] + shift[i], low, high));
      }
    }
  }

 private:
  static constexpr Index kRow = 512;
  static C limited(C v, C low, C high) { return v < low ? low : v > high ? high : v; }
  ConvEpilogue<T> epilogue_;
  Index width_;
  Scratch<C> coefficients_;
};

/// Forward and backward_data with pieces computed in type C: `in` is x and `out` y, or dy and dx.
template <class T, class C>
void run_pieces(const ConvShape& shape, ConvKind kind, const T* in, const T* w, const T* bias, T* out, Engine engine,
                const ConvEpilogue<T>* epilogue) {
  if (shape.n == 0) return;
  std::optional<Finish<T>> finish;
  if (epilogue != nullptr) finish.emplace(*epilogue, shape.o);
  const auto pieces = plan_pieces(shape, kind);
  const Converted<T, C> weights(w, shape.weights()), added(bias, shape.o);
  const PieceKernel kernel = bind<C>(shape, pieces, kind, weights.data(), added.data(), engine);
  const bool forward = kind == ConvKind::forward;
  parallel_tasks(static_cast<Index>(pieces.size()), [&](Index i) {
    const auto& [piece, x_offset, y_offset] = pieces[static_cast<std::size_t>(i)];
    const Converted<T, C> from(in + (forward ? x_offset : y_offset), forward ? piece.x_count() : piece.y_count());
    T* to = out + (forward ? y_offset : x_offset);
    if constexpr (std::is_same_v<T, C>) {
      kernel(static_cast<std::size_t>(i), from.data(), nullptr, to);
    } else {
      const Index count = forward ? piece.y_count() : piece.x_count();
      const Scratch<C> result(count);
      kernel(static_cast<std::size_t>(i), from.data(), nullptr, result.data());
      convert(result.data(), count, to);
    }
    if (finish) (*finish)(out, y_offset, piece.y_count());
  });
}

template <class T>
void run(const ConvShape& shape, ConvKind kind, const T* in, const T* w, const T* bias, T* out, Engine engine,
         const ConvEpilogue<T>* epilogue = nullptr) {
  if (runs_native<T>(shape, kind, engine)) return run_pieces<T, T>(shape, kind, in, w, bias, out, engine, epilogue);
  run_pieces<T, compute_t<T>>(shape, kind, in, w, bias, out, engine, epilogue);
}

/// dbias of one piece: sums over pixels, row by row so that long sums lose little.
template <class T, class S>
void add_pixels(const T* dy, Index rows, Index row_pixels, Index o, S* sums) {
  const Scratch<S> row(o);
  std::fill_n(sums, o, S(0));
  for (Index r = 0; r < rows; ++r) {
    std::fill_n(row.data(), o, S(0));
    for (Index p = 0; p < row_pixels; ++p, dy += o)
      for (Index i = 0; i < o; ++i) row[i] += static_cast<S>(dy[i]);
    for (Index i = 0; i < o; ++i) sums[i] += row[i];
  }
}

/// sums[i] += sums[part * stride + i] for parts 1, 2, ... in this order.
template <class S>
void add_parts(S* sums, Index parts, Index stride) {
  for_each_block(stride, [&](Index begin, Index end) {
    for (Index part = 1; part < parts; ++part)
      for (Index i = begin; i < end; ++i) sums[i] += sums[part * stride + i];
  });
}

template <class T, class C>
void run_weight_gradient(const ConvShape& shape, const T* x, const T* dy, T* dw, T* dbias, Engine engine) {
  using S = compute_t<T>;
  if (shape.n == 0) {
    std::fill_n(dw, shape.weights(), T(0));
    if (dbias != nullptr) std::fill_n(dbias, shape.o, T(0));
    return;
  }
  const auto pieces = plan_pieces(shape, ConvKind::backward_weights);
  const BoundWeightGradient kernel = bind_weight_gradient<C>(shape, pieces, engine);
  const Index parts = static_cast<Index>(pieces.size()), length = kernel.partial_count;
  const Scratch<S> partial(parts * length), bias_partial(dbias != nullptr ? parts * shape.o : 0);
  parallel_tasks(parts, [&](Index i) {
    const auto& [piece, x_offset, y_offset] = pieces[static_cast<std::size_t>(i)];
    const Converted<T, C> from(x + x_offset, piece.x_count()), gradient(dy + y_offset, piece.y_count());
    kernel.run(static_cast<std::size_t>(i), from.data(), gradient.data(), partial.data() + i * length);
    if (dbias != nullptr)
      add_pixels(dy + y_offset, piece.n * piece.d.out * piece.h.out, piece.w.out, shape.o,
                 bias_partial.data() + i * shape.o);
  });
  add_parts(partial.data(), parts, length);
  if constexpr (std::is_same_v<T, S>) {
    kernel.unpack(partial.data(), dw);
  } else {
    const Scratch<S> plain(shape.weights());
    kernel.unpack(partial.data(), plain.data());
    for_each_block(shape.weights(),
                   [&](Index begin, Index end) { convert(plain.data() + begin, end - begin, dw + begin); });
  }
  if (dbias != nullptr) {
    add_parts(bias_partial.data(), parts, shape.o);
    convert(bias_partial.data(), shape.o, dbias);
  }
}

}  // namespace

template <class T>
void conv_forward(const ConvShape& shape, const T* x, const T* w, const T* bias, T* y, Engine engine,
                  const ConvEpilogue<T>* epilogue) {
  run(shape, ConvKind::forward, x, w, bias, y, engine, epilogue);
}

template <class T>
void conv_backward_data(const ConvShape& shape, const T* dy, const T* w, T* dx, Engine engine) {
  run<T>(shape, ConvKind::backward_data, dy, w, nullptr, dx, engine);
}

template <class T>
void conv_backward_weights(const ConvShape& shape, const T* x, const T* dy, T* dw, T* dbias, Engine engine) {
  if (runs_native<T>(shape, ConvKind::backward_weights, engine))
    return run_weight_gradient<T, T>(shape, x, dy, dw, dbias, engine);
  run_weight_gradient<T, compute_t<T>>(shape, x, dy, dw, dbias, engine);
}

std::int64_t conv_scratch_bytes(const ConvShape& shape, ConvKind kind, DType dtype, int threads, Engine engine) {
  if (shape.n == 0) return 0;
  const auto pieces = plan_pieces(shape, kind);
  const bool library = engine == Engine::onednn && dtype != DType::f64 && library_covers(shape, kind);
  const bool converts = is_float(dtype) && size_of(dtype) == 2 && !(library && onednn::native(dtype));
  const DType sums = accumulator_of(dtype), computed = size_of(dtype) == 2 && !converts ? dtype : sums;
  onednn::Needs needs{shape.weights() * size_of(sums), 0};
  if (library) needs = onednn::needs(pieces, kind, computed);
  Index largest = 0;
  for (const PlacedPiece& placed : pieces) {
    const ConvPiece& p = placed.piece;
    const Index converted = converts ? (p.x_count() + p.y_count()) * size_of(sums) : 0;
    largest = std::max(largest, converted + (library || shape.depthwise() ? 0 : im2col::panel_bytes(p, size_of(sums))));
  }
  const Index count = static_cast<Index>(pieces.size());
  const Index per_thread =
      largest + needs.workspace + (kind == ConvKind::backward_weights ? shape.o * size_of(sums) : 0);
  const Index copies = kind == ConvKind::backward_weights ? count : 1;
  const Index plain = (shape.weights() + (kind == ConvKind::backward_weights ? count : 1) * shape.o) * size_of(sums);
  constexpr Index kBuffers = 8;  // at most so many at a time, each with the slack of a block
  const Index workers = std::min<Index>(threads, count);
  return largest_block_for(copies * needs.weights + plain + workers * per_thread) +
         kBuffers * (workers + 1) * largest_block_for(64);
}

#define RETORT_CONV(T)                                                                                            \
  template void conv_forward(const ConvShape&, const T*, const T*, const T*, T*, Engine, const ConvEpilogue<T>*); \
  template void conv_backward_data(const ConvShape&, const T*, const T*, T*, Engine);                             \
  template void conv_backward_weights(const ConvShape&, const T*, const T*, T*, T*, Engine)
RETORT_CONV(double);
RETORT_CONV(float);
RETORT_CONV(BFloat16);
RETORT_CONV(Half);
#undef RETORT_CONV

}  // namespace retort::cpu
