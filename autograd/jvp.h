// autograd/jvp.h -- the forward level: directional derivatives beside the primal, without a tape of its own.
#pragma once
#include <functional>

#include "autograd/level.h"

namespace retort {

/// detached: the primal runs once and is tracked as usual by outer levels; tangents run beside it in f32 (f64 for f64)
/// and no outer level sees them (sCM, MeanFlow targets). tracked: outer levels also differentiate the tangents.
enum class JvpMode : std::uint8_t { detached, tracked };

struct JvpResult {
  Tensors out;      ///< f(x), tracked by whatever tracks x
  Tensors tangent;  ///< J_f(x) v; zeros where f does not depend on x
};

/// Directional derivative of `f` at `x` along `v` (same shapes as x; undefined = zero).
/// Throws AutogradError naming an op without a forward rule, ShapeError when v does not fit x.
JvpResult jvp(const std::function<Tensors(std::span<const Tensor>)>& f, std::span<const Tensor> x,
              std::span<const Tensor> v, JvpMode mode);

/// One tensor in, one out.
std::pair<Tensor, Tensor> jvp(const std::function<Tensor(const Tensor&)>& f, const Tensor& x, const Tensor& v,
                              JvpMode mode);

}  // namespace retort
