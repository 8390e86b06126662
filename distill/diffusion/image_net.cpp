#include "distill/diffusion/image_net.h"

#include "autograd/ops/index.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
Shape stacked(std::int64_t particles, const Shape& image) {
  Shape shape{particles};
  for (int i = 0; i < image.rank(); ++i) shape.push_back(image[i]);
  return shape;
}
}  // namespace

ImageNet::ImageNet(std::int64_t particles, const Shape& image, double deviation)
    : images(stacked(particles, image), Init::normal(deviation), false), std(deviation) {}

Tensor ImageNet::forward(const Tensor& x, Ctx& ctx) const {
  const std::int64_t n = x.shape()[0], particles = images.value.size(0);
  if (x.meta()) return index_select(ctx(images), 0, Tensor::empty({n}, DType::i64, x.device()));
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(n));
  if (ctx.samples.defined())
    chosen = ctx.samples.values<std::int64_t>();
  else
    for (std::int64_t i = 0; i < n; ++i) chosen[static_cast<std::size_t>(i)] = i;
  for (std::int64_t& i : chosen) i %= particles;
  return index_select(ctx(images), 0, to(Tensor::of<std::int64_t>(chosen, {n}), images.value.device()));
}

std::string ImageNet::arch() const {
  const Shape& s = images.value.shape();
  std::string extents;
  for (int i = 1; i < s.rank(); ++i) extents += fmt::format("{} ", s[i]);
  return fmt::format("image({}particles={} std={})", extents, s[0], std);
}

std::unique_ptr<Model> build_image(CallArgs& args, const Shape& job_shape) {
  Shape image;
  const std::vector<Call> extents = args.rest();
  const std::int64_t particles = args.integer("particles", 1, {.min = 1});
  const double std = args.number("std", 1.0, {.min = 0});
  for (const Call& extent : extents) {
    const auto number = extent.number();
    if (!number || *number < 1) extent.fail("the extents of an image are whole numbers");
    image.push_back(static_cast<std::int64_t>(*number));
  }
  return std::make_unique<ImageNet>(particles, image.empty() ? job_shape : image, std);
}

}  // namespace retort
