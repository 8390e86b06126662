#include "distill/objectives/heads/feature_heads.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/image.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
Conv2d pointwise(std::int64_t from, std::int64_t to) { return {from, to, 1, {}, false}; }
Conv2d same3x3(std::int64_t from, std::int64_t to) { return {from, to, 3, {.padding = 1}, true}; }
}  // namespace

GaussianRegressor::GaussianRegressor(std::int64_t from, std::int64_t to)
    : rho({to}, Init::constant(std::log(std::expm1(5 - 1e-5))), false) {
  for (const std::int64_t in : {from, to, to}) convs.push_back(pointwise(in, to));
}

Tensors GaussianRegressor::forward(const Tensors& in, Ctx& ctx) const {
  Tensor mean = in.at(0);
  for (std::size_t i = 0; i < convs.size(); ++i) mean = convs[i](i == 0 ? mean : relu(mean), ctx);
  const Tensor var = softplus(ctx(rho)) + 1e-5;
  return {mean, broadcast_to(reshape(var, {1, -1, 1, 1}), mean.shape())};
}

void GaussianRegressor::visit(Visitor& v) {
  v("convs", convs);
  v("rho", rho);
}

MarginRelu::MarginRelu(const Tensor& gamma, const Tensor& beta) {
  const Tensor deviation = abs(gamma), z = beta / deviation;
  const Tensor density = exp(square(z) * -.5) / std::sqrt(2 * std::numbers::pi);
  const Tensor below = (1.0 - erf(z / std::numbers::sqrt2)) * .5;
  const Tensor margin_of_tail = beta - deviation * density / maximum(below, 1e-3);
  margin = Buffer(where(less_equal(below, scalar_like(below, 1e-3)), deviation * -3.0, margin_of_tail));
}

Tensors MarginRelu::forward(const Tensors& in, Ctx&) const {
  const Tensor& x = in.at(0);
  return {maximum(x, reshape(cast(margin.value, x.dtype()), {1, -1, 1, 1}))};
}

FusionLevel::FusionLevel(std::int64_t from, std::int64_t middle, std::int64_t to, bool fuses)
    : narrow(pointwise(from, middle)),
      narrow_norm(middle),
      widen(middle, to, 3, {.padding = 1}, false),
      widen_norm(to) {
  if (fuses) gates.emplace(2 * middle, 2, 1);
}

void FusionLevel::visit(Visitor& v) {
  v("narrow", narrow);
  v("narrow_norm", narrow_norm);
  if (gates) v("gates", *gates);
  v("widen", widen);
  v("widen_norm", widen_norm);
}

ReviewPyramid::ReviewPyramid(const std::vector<Shape>& from, const std::vector<Shape>& like) : to(like) {
  if (from.size() != like.size() || from.empty())
    throw ShapeError("review_pyramid: {} taps onto {}", from.size(), like.size());
  const std::int64_t middle = std::min<std::int64_t>(512, from.back()[0]);
  for (std::size_t i = 0; i < from.size(); ++i)
    levels.emplace_back(from[i][0], middle, like[i][0], i + 1 < from.size());
}

Tensors ReviewPyramid::forward(const Tensors& in, Ctx& ctx) const {
  const auto resized = [](const Tensor& x, std::int64_t h, std::int64_t w) {
    return x.size(2) == h && x.size(3) == w ? x : resize2d(x, h, w, {.mode = ResizeMode::nearest});
  };
  Tensors out(levels.size());
  Tensor deeper;
  for (std::size_t i = levels.size(); i-- > 0;) {
    const FusionLevel& level = levels[i];
    const Tensor as_map = in.at(i).rank() == 4 ? in[i] : reshape(in[i], {in[i].shape()[0], in[i].shape()[1], 1, 1});
    Tensor x = level.narrow_norm(level.narrow(as_map, ctx), ctx);
    if (level.gates) {
      const Tensor above = resized(deeper, x.size(2), x.size(3));
      const Tensor gate = sigmoid((*level.gates)(concat(Tensors{x, above}, 1), ctx));
      x = x * slice(gate, 1, 0, 1) + above * slice(gate, 1, 1, 2);
    }
    deeper = x;
    const std::int64_t n = x.size(0);
    if (to[i].rank() == 1) {
      out[i] = reshape(level.widen_norm(level.widen(resized(x, 1, 1), ctx), ctx), {n, to[i][0]});
    } else {
      out[i] = level.widen_norm(level.widen(resized(x, to[i][1], to[i][2]), ctx), ctx);
    }
  }
  return out;
}

MaskedGenerator::MaskedGenerator(std::int64_t from, std::int64_t to, double hidden, bool hide_channels)
    : first(same3x3(to, to)), second(same3x3(to, to)), share(hidden), by_channel(hide_channels) {
  if (from != to) align.emplace(from, to, 1);
}

Tensors MaskedGenerator::forward(const Tensors& in, Ctx& ctx) const {
  const Tensor x = align ? (*align)(in.at(0), ctx) : in.at(0);
  const Shape masked = by_channel ? Shape{x.size(0), x.size(1), 1, 1} : Shape{x.size(0), 1, x.size(2), x.size(3)};
  const Tensor ones = Tensor::full(masked, 1, x.dtype(), x.device());
  // Dropout of ones gives 0 or 1 / (1 - share): its mask is keyed by sample; features are hidden, not rescaled.
  const Tensor kept = dropout(ones, share, ctx.rng.stream("mask/" + path(), ctx.step), ctx.samples) * (1 - share);
  return {second(relu(first(x * kept, ctx)), ctx)};
}

void MaskedGenerator::visit(Visitor& v) {
  if (align) v("align", *align);
  v("first", first);
  v("second", second);
}

CooperativeMasks::CooperativeMasks(std::int64_t from, std::int64_t to, std::int64_t masks)
    : align(from, to, 1),
      query(pointwise(to, std::max<std::int64_t>(to / 2, 1))),
      key(pointwise(to, std::max<std::int64_t>(to / 2, 1))),
      value(pointwise(to, to)),
      channel_scale({masks}, Init::normal(1), false),
      position_units({masks, to}, Init::normal(1 / std::sqrt(static_cast<double>(to)))) {}

Tensors CooperativeMasks::forward(const Tensors& in, Ctx& ctx) const {
  const Tensor s = align(in.at(0), ctx);
  const auto flat = [](const Tensor& t) { return reshape(t, {t.size(0), t.size(1), -1}); };
  const Tensor q = flat(query(in.at(1), ctx)), k = flat(key(s, ctx)), v = flat(value(s, ctx));
  const Tensor weights = softmax(matmul(q, k, true) / std::sqrt(static_cast<double>(q.size(1))), 2);
  const Tensor fused = matmul(v, weights, false, true);  // [n, c, hw]
  const Tensor pooled = mean(fused, {2});
  const Tensor by_channel = sigmoid(reshape(ctx(channel_scale), {1, -1, 1}) * unsqueeze(pooled, 1));
  const Tensor by_position = sigmoid(matmul(ctx(position_units), fused));
  return {s, by_channel, by_position};
}

void CooperativeMasks::visit(Visitor& v) {
  v("align", align);
  v("query", query);
  v("key", key);
  v("value", value);
  v("channel_scale", channel_scale);
  v("position_units", position_units);
}

SharedExits::SharedExits(std::int64_t count, std::int64_t width, std::int64_t classes)
    : exits({count, width}, Init::normal(.02), false), norm(width), classifier(width, classes) {}

Tensors SharedExits::forward(const Tensors& in, Ctx& ctx) const {
  Tensors logits;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const Tensor token = select(in[i], 1, 0) + select(ctx(exits), 0, static_cast<std::int64_t>(i));
    logits.push_back(classifier(norm(token, ctx), ctx));
  }
  return logits;
}

void SharedExits::visit(Visitor& v) {
  v("exits", exits);
  v("norm", norm);
  v("classifier", classifier);
}

}  // namespace retort
