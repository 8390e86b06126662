// nn/layers/norm.h -- normalisation layers. Their parameters are f32 masters whatever the data's dtype, and do not
// decay.
#pragma once
#include "autograd/ops/nn.h"
#include "nn/context.h"

namespace retort {

/// A per-channel parameter of a norm: [n], all `value`.
Parameter norm_parameter(std::int64_t n, double value);

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axis, x [.., width] (Ba, Kiros, Hinton 2016). Without
/// `affine` there are no parameters.
struct LayerNorm : Module {
  Parameter weight, bias;
  double eps;
  explicit LayerNorm(std::int64_t width, double epsilon = 1e-5, bool affine = true);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// x / sqrt(mean(x^2) + eps) * weight over the last axis, x [.., width] (Zhang and Sennrich 2019).
struct RmsNorm : Module {
  Parameter weight;
  double eps;
  explicit RmsNorm(std::int64_t width, double epsilon = 1e-6);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Over each sample's groups of adjacent channels, x [n, channels, *] (Wu and He 2018): samples do not see each other.
/// Throws ShapeError when the groups do not divide the channels.
struct GroupNorm : Module {
  Parameter weight, bias;
  std::int64_t groups;
  double eps;
  GroupNorm(std::int64_t channels, std::int64_t group_count, double epsilon = 1e-5);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Per channel over all samples and positions of x [n, channels, h, w] (Ioffe and Szegedy 2015). In training it
/// normalises by this micro-batch's statistics and reports mean and unbiased variance to ctx.stats; otherwise it uses
/// the running ones. `momentum` is the weight of a new statistic.
/// Tap: in.
struct BatchNorm2d : Module {
  Parameter weight, bias;
  Buffer running_mean, running_var;
  double eps, momentum;
  explicit BatchNorm2d(std::int64_t channels, double epsilon = 1e-5, double new_weight = 0.1);
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  /// relu(norm(x) + residual) in training; the residual may be undefined.
  Tensor then_relu(const Tensor& x, const Tensor& residual, Ctx& ctx) const;
  /// What it does outside of training.
  ChannelMap running_map(Ctx& ctx) const;
  void visit(Visitor& v) override;

 private:
  /// norm.out; reports the statistics of the batch x.
  Tensor reported(const Tensor& x, const BatchNorm& norm, Ctx& ctx) const;
};

}  // namespace retort
