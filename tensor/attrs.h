// tensor/attrs.h -- the non-tensor arguments that kernels read, one struct per op family.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/rng.h"
#include "tensor/shape.h"

namespace retort {

/// Reductions: bit a set = axis a is reduced. Sums are divided by `divisor` before they are rounded (means).
struct ReduceAttrs {
  std::uint32_t axes = 0;
  bool keepdim = false;
  double divisor = 1;
};

/// Scans along an axis: cumsum, cumprod, logcumsumexp, linear_recurrence. An exclusive scan leaves out the element at
/// its own place.
struct ScanAttrs {
  int axis = 0;
  bool reverse = false;  ///< from the last element to the first
  bool exclusive = false;
};

/// sort (all elements of a line) and top_k (the first `count` of them).
struct SortAttrs {
  int axis = 0;
  bool descending = false;
  std::int64_t count = 0;
};

/// slice: the box of `shape` elements from `begin` in steps of `step`. embed: where the input lies within `shape`, and
/// the value elsewhere.
struct SliceAttrs {
  Dims begin, step;
  Shape shape;
  double value = 0;
};

/// What a border repeats, and the adjoint: `shape` is that of the result, `before` the border's width at the low ends.
enum class PadMode : std::uint8_t { reflect, replicate, circular };
struct PadBorderAttrs {
  Dims before;
  Shape shape;
  PadMode mode = PadMode::reflect;
};

struct SplitAttrs {
  int axis = 0;
  std::vector<std::int64_t> sizes;
};

/// Reading or adding by index along an axis; `extent` is the axis that the adjoints restore.
struct IndexAttrs {
  int axis = 0;
  std::int64_t extent = 0;
};
struct OneHotAttrs {
  std::int64_t classes = 0;
  DType dtype = DType::f32;
};

struct ArangeAttrs {
  double begin = 0, step = 1;
};
struct RandomAttrs {
  RngKey key;
  double probability = 0;  ///< of a mask's true
};

/// Matrix products: which operands are read transposed.
struct MatmulAttrs {
  bool transpose_a = false, transpose_b = false;
};

/// Convolution and its two adjoints, with an entry per spatial axis. `size` is the extents that the adjoints restore:
/// of the input for the input's gradient, of the kernel for the weight's.
struct ConvAttrs {
  Dims stride, padding, dilation;
  std::int64_t groups = 1;
  Dims size = {};
};

/// clamp: the closed interval values are limited to.
struct ClampAttrs {
  double low = 0, high = 0;
};

/// conv_block: a convolution, and the interval of its activation.
struct ConvBlockAttrs {
  ConvAttrs conv;
  ClampAttrs range;
};

/// 2-D pooling and its adjoints; `size` is the spatial extent (h, w) of the pooled image, which the adjoints restore.
/// A positive `adaptive` extent of the result takes the place of kernel, stride and padding along its axis.
struct Pool2dAttrs {
  std::int64_t kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;
  bool count_include_pad = true;
  std::int64_t size_h = 0, size_w = 0;
  std::int64_t adaptive_h = 0, adaptive_w = 0;
};

/// resize2d and its adjoint: how images of in_h x in_w pixels become images of out_h x out_w.
enum class ResizeMode : std::uint8_t { nearest, nearest_exact, bilinear, bicubic };
struct Resize2dAttrs {
  ResizeMode mode = ResizeMode::bilinear;
  bool align_corners = false, antialias = false;
  std::int64_t in_h = 0, in_w = 0, out_h = 0, out_w = 0;
};

/// Normalisations: y = (x - mean) / sqrt(var + eps). `groups` matters to group_norm only.
struct NormAttrs {
  double eps = 1e-5;
  std::int64_t groups = 1;
};

/// Dropout: elements whose keyed draw is below p are dropped, the others divided by 1 - p.
struct DropoutAttrs {
  double p = 0;
  RngKey key;
};

/// Rotary embedding: angle of pair i at position t is t base^(-2i / D); `inverse` turns the other way. Pairs are
/// (i, i + D/2), or (2i, 2i + 1) when interleaved.
struct RotaryAttrs {
  double base = 10000;
  bool interleaved = false, inverse = false;
};

/// Attention: see autograd/ops/nn.h. `window` 0 means no window.
struct AttentionAttrs {
  double scale = 1;
  bool causal = false;
  std::int64_t window = 0;
};

struct CrossEntropyAttrs {
  double label_smoothing = 0;
  std::int64_t ignore_index = -1;
};

enum class DivergenceKind : std::uint8_t { kl_forward, kl_reverse, js, jeffreys, tv, skew_forward, skew_reverse };
/// Divergences between rows of probabilities s = softmax(student / T_s) and t = softmax(teacher / T_t). `mix` is the
/// teacher's share of the mixture where the kind has one. With top_k = k > 0 the k likeliest outcomes of the teacher
/// stay apart and all others count as one, so both are distributions of k + 1 outcomes.
struct DivergenceAttrs {
  DivergenceKind kind = DivergenceKind::kl_forward;
  double mix = 0.5;
  double student_temperature = 1, teacher_temperature = 1;
  std::int64_t top_k = 0;
  bool select_by_student = false;  ///< the k likeliest outcomes are the student's
};

/// triangle: which half is kept, and the factor of the diagonal.
struct TriangleAttrs {
  bool upper = false;
  double diagonal = 1;
};

/// triangular_solve: which half of the matrix is read, and whether it is transposed.
struct TriangularSolveAttrs {
  bool upper = false, transpose = false;
};

/// fft, rfft, irfft: `length` of the transform, which runs with e^(+i..) when `inverse`; results are multiplied by
/// `scale`, and where half a spectrum stands for the whole, bins that stand for two count `middle` times.
struct FftAttrs {
  std::int64_t length = 0;
  double scale = 1;
  bool inverse = false;
  double middle = 1;
};

/// sinkhorn: entropy's weight, and how often both marginals are fitted.
struct SinkhornAttrs {
  double epsilon = 1;
  int iterations = 0;
};

/// divide_by_gaps: differences are taken of the values (1) or of their squares (2).
struct GapAttrs {
  int power = 1;
};

}  // namespace retort
