#include "distill/objectives/heads/alignment.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
void expect_map(const Shape& s) {
  if (s.rank() != 3) throw ShapeError("head: expected a feature map [c, h, w]; got {}", s.str());
}
}  // namespace

ConvEach::ConvEach(const std::vector<Shape>& from, const std::vector<Shape>& to, bool norm) {
  if (from.size() != to.size()) throw ShapeError("head: {} maps onto {}", from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    expect_map(from[i]);
    expect_map(to[i]);
    convs.emplace_back(from[i][0], to[i][0], 1, ConvOptions{}, false);
    if (norm) norms.emplace_back(to[i][0]);
  }
}

Tensors ConvEach::forward(const Tensors& in, Ctx& ctx) const {
  Tensors out;
  for (std::size_t i = 0; i < convs.size(); ++i) {
    const Tensor y = convs[i](in.at(i), ctx);
    out.push_back(norms.empty() ? y : norms[i](y, ctx));
  }
  return out;
}

void ConvEach::visit(Visitor& v) {
  v("convs", convs);
  v("norms", norms);
}

Tensors SharedLinear::forward(const Tensors& in, Ctx& ctx) const {
  Tensors out;
  for (const Tensor& x : in) {
    const Tensor y = map(x, ctx);
    out.push_back(unit ? unit_length(y, y.rank() - 1) : y);
  }
  return out;
}

ProjectorEnsemble::ProjectorEnsemble(std::int64_t from, std::int64_t to, int count) {
  for (int i = 0; i < count; ++i) maps.emplace_back(from, to);
}

Tensors ProjectorEnsemble::forward(const Tensors& in, Ctx& ctx) const {
  Tensor total;
  for (const Linear& map : maps) {
    const Tensor y = relu(map(in.at(0), ctx));
    total = total.defined() ? total + y : y;
  }
  return {total / static_cast<double>(maps.size())};
}

NormedLinear::NormedLinear(std::int64_t from, std::int64_t to) : dropout(.5) {
  if (from == to) return;
  norm.emplace(from);
  map.emplace(from, to);
}

Tensors NormedLinear::forward(const Tensors& in, Ctx& ctx) const {
  const Tensor& x = in.at(0);
  if (!map) return {x};
  const Tensor as_map = reshape(x, {x.shape()[0], x.shape()[1], 1, 1});
  return {(*map)(dropout(reshape((*norm)(as_map, ctx), x.shape()), ctx), ctx)};
}

void NormedLinear::visit(Visitor& v) {
  if (norm) v("norm", *norm);
  v("dropout", dropout);
  if (map) v("map", *map);
}

ReusedClassifier::ReusedClassifier(const Shape& from, const Shape& to, const Tensor& classifier_weight,
                                   const Tensor& classifier_bias)
    : weight(classifier_weight), bias(classifier_bias), height(to[1]), width(to[2]) {
  expect_map(from);
  expect_map(to);
  if (from[1] < height || from[2] < width || classifier_weight.size(1) != to[0])
    throw ShapeError("reuse: {} cannot be brought to {} for a classifier {}", from.str(), to.str(),
                     classifier_weight.str());
  const std::int64_t middle = std::max<std::int64_t>(to[0] / 2, 1);
  convs.emplace_back(from[0], middle, 1, ConvOptions{}, false);
  convs.emplace_back(middle, middle, 3, ConvOptions{.padding = 1}, false);
  convs.emplace_back(middle, to[0], 1, ConvOptions{}, false);
  for (const std::int64_t c : {middle, middle, to[0]}) norms.emplace_back(c);
}

Tensors ReusedClassifier::forward(const Tensors& in, Ctx& ctx) const {
  Tensor h = in.at(0);
  if (h.size(2) != height || h.size(3) != width) h = adaptive_avg_pool2d(h, height, width);
  for (std::size_t i = 0; i < convs.size(); ++i) h = relu(norms[i](convs[i](h, ctx), ctx));
  const auto fixed = [&](const Buffer& b) { return cast(b.value, h.dtype()); };
  return {h, linear(mean(h, {2, 3}), fixed(weight), fixed(bias))};
}

void ReusedClassifier::visit(Visitor& v) {
  v("convs", convs);
  v("norms", norms);
  v("weight", weight);
  v("bias", bias);
}

}  // namespace retort
