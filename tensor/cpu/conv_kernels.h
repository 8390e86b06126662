// tensor/cpu/conv_kernels.h -- what computes one piece of a convolution on one thread: oneDNN, im2col and products, or
// loops.
#pragma once
#include <functional>
#include <span>

#include "tensor/cpu/conv_plan.h"

namespace retort::cpu {

/// Computes piece `index` of the plan from two operands into a third, on the calling thread:
/// forward (x, -, y), backward_data (dy, -, dx); backward_weights (x, dy, partial).
using PieceKernel = std::function<void(std::size_t index, const void* first, const void* second, void* out)>;

/// The pieces of a weight gradient. Partial sums are `partial_count` numbers of `dtype` f64 for f64 and f32 otherwise,
/// in a layout of the engine's own; `unpack` turns their sum into OHWI in the same type.
struct BoundWeightGradient {
  PieceKernel run;
  std::int64_t partial_count;
  std::function<void(const void* sum, void* dw)> unpack;
};

namespace im2col {
/// Forward or backward_data with weights `w`, and a bias (forward only) or null, all of which, as the plan, must
/// outlive the kernel.
template <class T>
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, const T* w, const T* bias);
template <class T>
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces);
/// Bytes of panels one thread holds while it computes `piece`.
std::int64_t panel_bytes(const ConvPiece& piece, std::int64_t element_size);
}  // namespace im2col

/// As im2col, for pieces that are depthwise.
namespace depthwise {
template <class T>
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, const T* w, const T* bias);
template <class T>
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces);
}  // namespace depthwise

namespace onednn {
/// Whether oneDNN is present and computes in this type natively on this processor.
bool native(DType dtype);
PieceKernel bind(const std::vector<PlacedPiece>& pieces, ConvKind kind, DType dtype, const void* w, const void* bias);
BoundWeightGradient bind_weight_gradient(const std::vector<PlacedPiece>& pieces, DType dtype);
/// What the library asks for: bytes of weights in each packed layout, and of working space of the hungriest piece.
struct Needs {
  std::int64_t weights, workspace;
};
Needs needs(const std::vector<PlacedPiece>& pieces, ConvKind kind, DType dtype);
}  // namespace onednn

}  // namespace retort::cpu
