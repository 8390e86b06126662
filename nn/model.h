// nn/model.h -- what the trainer sees of a network: one tensor in, one out, a copy, and how to build it again.
#pragma once
#include "nn/context.h"

namespace retort {

struct Model : Module {
  /// The output for x. Undefined when ctx.stop_after_taps is set and every wanted tap was delivered on the way.
  virtual Tensor forward(const Tensor& x, Ctx& ctx) const = 0;
  /// A deep copy: a teacher, a tracker, an average.
  virtual std::unique_ptr<Model> clone() const = 0;
  /// The call expression that builds this architecture, such as "mlp(in=784 classes=10 widths=256x256 act=relu
  /// dropout=0)"; stored in checkpoints.
  virtual std::string arch() const = 0;

  Tensor operator()(const Tensor& x, Ctx& ctx) const { return forward(x, ctx); }
};

/// Widths as architectures spell them: {32, 64} <-> "32x64", {} <-> "none". Throws ConfigError on anything but positive
/// whole numbers.
std::string widths_text(const std::vector<int>& widths);
std::vector<int> widths_from_text(std::string_view text);

}  // namespace retort
