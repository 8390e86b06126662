// autograd/op.h -- what an op is to autograd: a primitive plus its derivative rule, and `apply`, the door to both.
#pragma once
#include <span>
#include <vector>

#include "tensor/primitive.h"

namespace retort {

/// How an op is differentiated (DESIGN: five kinds). `none` marks ops whose results never carry a derivative.
enum class Kind : std::uint8_t { none, elementwise, linear, bilinear, general, fused };

using Tensors = std::vector<Tensor>;

/// Arguments of a reverse rule. Saved values are those the op declared; others are ghosts (shape only) or undefined.
struct VjpCall {
  std::string_view name;
  const AttrBox& attrs;
  std::span<const Tensor> in;   ///< saved inputs, one level below the tape
  std::span<const Tensor> out;  ///< saved outputs
  std::span<const Tensor> cot;  ///< cotangents of the outputs; zeros are filled in, auxiliary outputs have none
  std::span<const bool> wants;  ///< inputs on the tape: only these need a gradient
  std::span<Tensor> grad;       ///< result, parallel to `in`; undefined means zero
};
/// Arguments of a forward rule. Undefined tangents are zero; a result left undefined is zero.
struct JvpCall {
  std::string_view name;
  const AttrBox& attrs;
  std::span<const Tensor> in, out, tangent;
  std::span<Tensor> out_tangent;
};
using VjpFn = void (*)(VjpCall&);
using JvpFn = void (*)(JvpCall&);
/// The same results from public ops (fused kinds); auxiliary outputs are not part of it.
using DecomposeFn = Tensors (*)(std::span<const Tensor> in, const AttrBox& attrs);

/// Which inputs and outputs a rule wants back, as bit masks (bit i = i-th); inputs beyond 31 share bit 31.
struct Saves {
  std::uint32_t in = 0, out = 0;
  std::uint32_t ghosts = 0;  ///< inputs of which the shape suffices
};
/// Decides per call which values to save; `tracked` has a bit per input that is on the tape.
using SavesFn = Saves (*)(std::uint32_t tracked, const AttrBox& attrs);

struct Op : Primitive {
  using Primitive::Primitive;
  Kind kind = Kind::none;
  int outputs = 1;          ///< including auxiliaries; 0: as many as the caller has room for
  int auxiliaries = 0;      ///< trailing outputs saved for the backward kernel; callers never see them
  bool broadcasts = false;  ///< inputs broadcast against each other: the tape sums gradients back to input shapes
  VjpFn vjp = nullptr;
  JvpFn jvp = nullptr;
  SavesFn saves = nullptr;
  DecomposeFn decompose = nullptr;
  bool composite() const { return infer == nullptr && view == nullptr; }  ///< fused without a kernel
};

/// Every op of the program, in no particular order (OpCases are compared with it).
const std::vector<const Op*>& registered_ops();
/// Enters an op into the registry; throws InternalError on a second op of the same name.
void register_op(const Op& op);

/// Runs an op on tensors of any level: the highest level among the inputs handles it (DESIGN section 3).
/// `out` has op.outputs entries (any number when that is 0); optional results are left undefined. Throws AutogradError
/// when a level has ended or the op has no rule.
void apply(const Op& op, std::span<const Tensor> in, const AttrBox& attrs, std::span<Tensor> out);

/// Single-output form.
inline Tensor apply1(const Op& op, std::span<const Tensor> in, const AttrBox& attrs = {}) {
  Tensor results[4];
  apply(op, in, attrs, std::span(results, static_cast<std::size_t>(op.outputs)));
  return std::move(results[0]);
}

/// False when the environment says RETORT_FUSED=0: fused ops then run their decomposition everywhere.
bool fused_enabled();
/// Overrides RETORT_FUSED for a scope on this thread (tests, debugging).
class FusedScope {
 public:
  explicit FusedScope(bool enabled);
  ~FusedScope();
  FusedScope(const FusedScope&) = delete;
  FusedScope& operator=(const FusedScope&) = delete;

 private:
  int previous_;
};

}  // namespace retort
