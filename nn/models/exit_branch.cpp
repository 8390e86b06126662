#include "nn/models/exit_branch.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
Conv2d depthwise(std::int64_t channels, int stride) {
  return {channels, channels, 3, {.stride = stride, .padding = 1, .dilation = 1, .groups = channels}, false};
}
}  // namespace

SeparableBlock::SeparableBlock(std::int64_t in, std::int64_t out)
    : depthwise1(depthwise(in, 2)),
      pointwise1(in, in, 1, {}, false),
      depthwise2(depthwise(in, 1)),
      pointwise2(in, out, 1, {}, false),
      norm1(in),
      norm2(out) {}

Tensor SeparableBlock::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor half = relu(norm1(pointwise1(depthwise1(x, ctx), ctx), ctx));
  return relu(norm2(pointwise2(depthwise2(half, ctx), ctx), ctx));
}

void SeparableBlock::visit(Visitor& v) {
  v("depthwise1", depthwise1);
  v("pointwise1", pointwise1);
  v("norm1", norm1);
  v("depthwise2", depthwise2);
  v("pointwise2", pointwise2);
  v("norm2", norm2);
}

ExitBranch::ExitBranch(const Shape& from, std::int64_t extent, std::int64_t width, std::int64_t classes)
    : classifier(width, classes) {
  if (from.rank() != 3) throw ShapeError("exit branch: expected a feature map [c, h, w]; got {}", from.str());
  std::int64_t channels = from[0], height = from[1];
  while (height > extent) {
    height = (height + 1) / 2;
    down.emplace_back(channels, height > extent ? 2 * channels : width);
    channels *= 2;
  }
  if (down.empty()) point.emplace_back(channels, width, 1);
}

ExitBranch::Result ExitBranch::operator()(const Tensor& x, Ctx& ctx) const {
  Tensor y = x;
  for (const SeparableBlock& block : down) y = block(y, ctx);
  for (const Conv2d& conv : point) y = conv(y, ctx);
  const Tensor feature = global_average(y);
  return {classifier(feature, ctx), feature};
}

void ExitBranch::visit(Visitor& v) {
  v("down", down);
  v("point", point);
  v("classifier", classifier);
}

Tensor global_average(const Tensor& x) {
  switch (x.rank()) {
    case 4:
      return mean(x, {2, 3});
    case 3:
      return mean(x, {1});
    default:
      return x;
  }
}

}  // namespace retort
