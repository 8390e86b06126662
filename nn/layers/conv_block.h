// nn/layers/conv_block.h -- convolution, norm, activation: the block most convolutional networks are made of.
#pragma once
#include <variant>

#include "nn/layers/activation.h"
#include "nn/layers/conv2d.h"
#include "nn/layers/norm.h"

namespace retort {

enum class NormKind : std::uint8_t { none, group, batch, instance };
/// "group" -> NormKind::group, and back; throws ConfigError naming the known ones.
NormKind norm_from_name(std::string_view name);
std::string_view name_of(NormKind norm);

struct ConvBlockOptions {
  std::int64_t kernel = 3;  ///< odd: the padding of (kernel - 1) / 2 keeps the extent at stride 1
  std::int64_t stride = 1, groups = 1;
  NormKind norm = NormKind::batch;  ///< group norm has gcd(8, width) groups, instance norm `width`
  Activation act = Activation::relu;
  bool bias = false;  ///< of the convolution also where a norm follows; without a norm it always has one
};

/// x [n, in, h, w] -> act(norm(conv(x))) [n, out, ceil(h / stride), ceil(w / stride)]. Starts from He's normal law.
/// Taps: pre_act (after the norm), out.
struct ConvBlock : Module {
  Conv2d conv;
  std::variant<std::monostate, GroupNorm, BatchNorm2d> norm;
  Activation act;
  ConvBlock(std::int64_t in, std::int64_t out, const ConvBlockOptions& how = {});
  Tensor operator()(const Tensor& x, Ctx& ctx) const;
  /// last(norm(conv(x)) + residual) without `act` and the taps after the convolution; the residual may be undefined.
  /// In training norm, sum and relu are one op; else, where no level tracks anything, the whole is one pass over
  /// memory. Undefined where there is no such kernel: for group norm and other activations, and outside of training
  /// when the convolution's own result is wanted.
  Tensor fused(const Tensor& x, const Tensor& residual, Activation last, Ctx& ctx) const;
  void visit(Visitor& v) override;
};

/// Sets the law of every convolution kernel (parameters of rank 4) of `m`: `law` is called with the kernel's shape.
void set_kernel_init(Module& m, Init (*law)(const Shape& kernel));
/// He et al. 2015 with the fan of outputs, deviation sqrt(2 / fan.out): what networks with batch norm usually start
/// from.
Init he_normal_of_outputs(const Shape& kernel);
/// Uniform within 1 / sqrt(fan.in): the law that PyTorch gives its layers unless told otherwise.
Init uniform_of_inputs(const Shape& weight);

}  // namespace retort
