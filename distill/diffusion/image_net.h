// distill/diffusion/image_net.h -- samples that are parameters: what score distillation moves when nothing is rendered.
#pragma once
#include "distill/train/call.h"
#include "nn/model.h"

namespace retort {

/// `particles` images (or latents, or points) of one shape, [particles, ...]: sample i of the run shows image i modulo
/// particles, whatever the input, whose values are ignored. They begin as normal draws of deviation std.
struct ImageNet final : Model {
  Parameter images;
  double std;
  ImageNet(std::int64_t particles, const Shape& image, double deviation);
  Tensor forward(const Tensor& x, Ctx& ctx) const override;
  std::unique_ptr<Model> clone() const override { return std::make_unique<ImageNet>(*this); }
  std::string arch() const override;
  void visit(Visitor& v) override { v("images", images); }
};

/// image(d1 d2 .. particles=1 std=1): the extents of one image, `job_shape` when the call gives none.
std::unique_ptr<Model> build_image(CallArgs& args, const Shape& job_shape);

}  // namespace retort
