#include "distill/objectives/heads/discriminators.h"

#include <cmath>
#include <numeric>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"

namespace retort {

namespace {
/// [t, c] tokens, [c] vectors and [c, h, h] maps as channels and extent of a square map.
std::pair<std::int64_t, std::int64_t> map_of(const Shape& s) {
  const std::int64_t extent = s.rank() == 3   ? s[1]
                              : s.rank() == 2 ? std::llround(std::sqrt(static_cast<double>(s[0])))
                                              : 1;
  const bool square = s.rank() == 1 || (s.rank() == 2 && extent * extent == s[0]) || (s.rank() == 3 && s[1] == s[2]);
  if (!square) throw ShapeError("gan_conv: expected a square map, or as many tokens; got {}", s.str());
  return {s.rank() == 2 ? s[1] : s[0], extent};
}

Tensor as_map(const Tensor& x) {
  const std::int64_t n = x.shape()[0];
  if (x.rank() == 4) return x;
  if (x.rank() == 2) return reshape(x, {n, x.shape()[1], 1, 1});
  const auto extent = std::llround(std::sqrt(static_cast<double>(x.shape()[1])));
  return reshape(transpose(x, 1, 2), {n, x.shape()[2], extent, extent});
}

ConvOptions halving(std::int64_t extent) {
  return extent > 1 ? ConvOptions{.stride = 2, .padding = 1, .dilation = 1, .groups = 1} : ConvOptions{};
}

std::int64_t groups_of(std::int64_t channels) { return std::gcd<std::int64_t>(32, channels); }
}  // namespace

Tensors Quadratic::forward(const Tensors& in, Ctx& ctx) const {
  const Tensor u = reshape(in.at(0), {in.at(0).shape()[0], -1});
  const std::int64_t n = u.shape()[0], d = u.shape()[1];
  const Tensor products = reshape(reshape(u, {n, d, 1}) * reshape(u, {n, 1, d}), {n, d * d});
  return {linear(concat(Tensors{u, products}, 1), ctx)};
}

MapCritic::MapCritic(const Shape& from)
    : shrink(map_of(from).first, map_of(from).first, map_of(from).second > 1 ? 4 : 1, halving(map_of(from).second)),
      norm0(map_of(from).first, groups_of(map_of(from).first)),
      gather(map_of(from).first, map_of(from).first, std::max<std::int64_t>(map_of(from).second / 2, 1)),
      norm1(map_of(from).first, groups_of(map_of(from).first)),
      logit(map_of(from).first, 1, 1) {}

Tensor MapCritic::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor h = silu(norm0(shrink(as_map(x), ctx), ctx));
  return reshape(logit(silu(norm1(gather(h, ctx), ctx)), ctx), {x.shape()[0], 1});
}

void MapCritic::visit(Visitor& v) {
  v("shrink", shrink);
  v("norm0", norm0);
  v("gather", gather);
  v("norm1", norm1);
  v("logit", logit);
}

MapCritics::MapCritics(const std::vector<Shape>& from) {
  for (const Shape& shape : from) critics.emplace_back(shape);
}

Tensors MapCritics::forward(const Tensors& in, Ctx& ctx) const {
  Tensors logits;
  for (std::size_t i = 0; i < critics.size(); ++i) logits.push_back(critics[i](in.at(i), ctx));
  return logits;
}

Tensors ChannelMean::forward(const Tensors& in, Ctx&) const {
  Tensors logits;
  for (const Tensor& x : in) {
    const Tensor map = as_map(x);
    logits.push_back(reshape(mean(map, {1}), {x.shape()[0], -1}));
  }
  return logits;
}

}  // namespace retort
