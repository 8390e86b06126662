// nn/denoiser.h -- networks of diffusion and flow models: a noisy sample, what is known about it, an answer.
#pragma once
#include "nn/model.h"

namespace retort {

/// What a denoiser is told beside the sample x [n, ...]. Undefined tensors are absent; times are f32, f64 or whole
/// numbers, never 16-bit, and derivatives in them are exact.
struct Conditions {
  Tensor t = {};        ///< [n], the noise level in the net's own coordinate; larger is noisier
  Tensor s = {};        ///< [n], where a jump from t ends; only nets with two times take it
  Tensor label = {};    ///< i64 [n], classes; the number of classes stands for "no class", as does an absent label
  Tensor augment = {};  ///< [n, k], how training samples were augmented; zero or absent: not at all
};

/// What its answer means (a clean sample, noise, a velocity) is for the caller to know. x is f32 or f64, and so is the
/// answer; inside, the net computes in ctx.compute when that is 16-bit. Throws ConfigError for a condition the net does
/// not have.
struct Denoiser : Model {
  /// Undefined when ctx.stop_after_taps is set and every wanted tap was delivered on the way.
  virtual Tensor forward(const Tensor& x, const Conditions& given, Ctx& ctx) const = 0;
  /// It must be told Conditions::s; otherwise it must not.
  virtual bool takes_end_time() const { return false; }
  /// As a Model it is told what ctx.given says.
  Tensor forward(const Tensor& x, Ctx& ctx) const final;
};

/// The dtype that a net with this input computes in.
inline DType inner_dtype(const Tensor& x, const Ctx& ctx) {
  return size_of(ctx.compute) == 2 ? ctx.compute : x.dtype();
}

}  // namespace retort
