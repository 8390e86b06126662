// tests/op_cases/channel_norm.cpp -- group_norm and batch_norm.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Which statistics the element at (sample, channel) shares: f(n, c) numbers the sets.
using SetOf = std::function<std::size_t(std::size_t, std::size_t)>;

struct Moments {
  std::vector<double> count, mean, var;
};
Moments moments(const Tensor& x, std::size_t sets, const SetOf& set) {
  const auto v = x.values();
  const auto channels = static_cast<std::size_t>(x.size(1)), samples = static_cast<std::size_t>(x.size(0));
  const std::size_t positions = v.size() / std::max<std::size_t>(1, channels * samples);
  Moments m{std::vector<double>(sets), std::vector<double>(sets), std::vector<double>(sets)};
  const auto each = [&](const std::function<void(std::size_t, double)>& f) {
    for (std::size_t i = 0; i < v.size(); ++i) f(set(i / positions / channels, i / positions % channels), v[i]);
  };
  each([&](std::size_t s, double) { m.count[s] += 1; });
  each([&](std::size_t s, double e) { m.mean[s] += e / m.count[s]; });
  each([&](std::size_t s, double e) { m.var[s] += (e - m.mean[s]) * (e - m.mean[s]) / m.count[s]; });
  return m;
}

Tensor normalised(In in, const Moments& m, const SetOf& set, double eps) {
  auto v = in[0].values();
  const auto channels = static_cast<std::size_t>(in[0].size(1)), samples = static_cast<std::size_t>(in[0].size(0));
  const std::size_t positions = v.size() / std::max<std::size_t>(1, channels * samples);
  const auto w = in[1].defined() ? in[1].values() : std::vector<double>(channels, 1.0);
  const auto b = in[2].defined() ? in[2].values() : std::vector<double>(channels, 0.0);
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::size_t c = i / positions % channels, s = set(i / positions / channels, c);
    v[i] = (v[i] - m.mean[s]) / std::sqrt(m.var[s] + eps) * w[c] + b[c];
  }
  return Tensor::from(v, in[0].shape(), DType::f64);
}

Sample group_norm_of(const Shape& shape, std::int64_t groups, bool affine = true) {
  const Shape channels{shape[1]};
  return {{randn(shape), affine ? randn(channels, 2) : Tensor(), affine ? randn(channels, 3) : Tensor()},
          [groups](In in) { return Tensors{group_norm(in[0], groups, in[1], in[2])}; },
          [groups](In in) {
            const auto g = static_cast<std::size_t>(groups), per = static_cast<std::size_t>(in[0].size(1)) / g;
            const SetOf set = [=](std::size_t n, std::size_t c) { return n * g + c / per; };
            return Tensors{normalised(in, moments(in[0], static_cast<std::size_t>(in[0].size(0)) * g, set), set, 1e-5)};
          }};
}

Tensors results(const BatchNorm& b, DType dtype) { return {b.out, cast(b.mean, dtype), cast(b.var, dtype)}; }
}  // namespace

OP_CASE(group_norm) {
  c.covers = {"group_norm", "group_norm_backward"};
  c.samples = {group_norm_of({2, 4, 3}, 2),       group_norm_of({2, 4, 3, 3}, 2),
               group_norm_of({3, 12}, 3, false),  group_norm_of({2, 6, 5, 7}, 1),
               group_norm_of({2, 6, 5, 7}, 6),    group_norm_of({0, 4, 2, 2}, 2),
               group_norm_of({1, 4, 2, 3, 3}, 2), group_norm_of({2, 64, 23, 29}, 8, false)};
  c.errors = {{"group_norm: 6 channels do not split into 4 groups",
               [] {
                 group_norm(randn({2, 6, 3}), 4, Tensor(), Tensor());
               }},
              {"group_norm: x must be [N, C, *]", [] { group_norm(randn({6}), 2, Tensor(), Tensor()); }},
              {"group_norm: parameter 2 must have shape [6]", [] {
                 group_norm(randn({2, 6, 3}), 2, Tensor(), randn({2}));
               }}};
}

OP_CASE(instance_norm) {
  c.covers = {"group_norm"};  // a group for every channel
  const auto add = [&](const Shape& shape) {
    Sample s = group_norm_of(shape, shape[1]);
    s.fn = [](In in) { return Tensors{instance_norm(in[0], in[1], in[2])}; };
    c.samples.push_back(s);
  };
  add({2, 3, 2, 2});
  add({2, 5, 7, 3});
  add({1, 3, 9});
  c.errors = {{"instance_norm: x must be [N, C, *]", [] { instance_norm(randn({2, 3}), Tensor(), Tensor()); }}};
}

OP_CASE(batch_norm) {
  c.covers = {"batch_norm", "batch_norm_backward"};
  c.fn = [](In in) { return results(batch_norm(in[0], in[1], in[2]), in[0].dtype()); };
  c.naive = [](In in) {
    const SetOf set = [](std::size_t, std::size_t channel) { return channel; };
    const Moments m = moments(in[0], static_cast<std::size_t>(in[0].size(1)), set);
    const Shape channels{in[0].size(1)};
    return Tensors{normalised(in, m, set, 1e-5), Tensor::from(m.mean, channels, DType::f64),
                   Tensor::from(m.var, channels, DType::f64)};
  };
  c.samples = {{{randn({3, 2, 2}), randn({2}, 2), randn({2}, 3)}},
               {{randn({5, 3}), Tensor(), Tensor()}},
               {{randn({2, 6, 5, 7}), randn({6}, 2), randn({6}, 3)}},
               {{randn({3, 64, 23, 29}), randn({64}, 2), randn({64}, 3)}}};
  c.errors = {{"batch_norm: an empty batch has no statistics", [] {
                 batch_norm(randn({0, 3, 2, 2}), Tensor(), Tensor());
               }}};
}

OP_CASE(batch_norm_relu) {
  c.covers = {"batch_norm_relu", "batch_norm_relu_backward"};
  c.fn = [](In in) { return results(batch_norm_relu(in[0], in[1], in[2], in[3]), in[0].dtype()); };
  c.naive = [](In in) {
    const SetOf set = [](std::size_t, std::size_t channel) { return channel; };
    const Moments m = moments(in[0], static_cast<std::size_t>(in[0].size(1)), set);
    auto v = normalised(in, m, set, 1e-5).values();
    const auto added = in[3].defined() ? in[3].values() : std::vector<double>(v.size());
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::max(v[i] + added[i], 0.0);
    const Shape channels{in[0].size(1)};
    return Tensors{Tensor::from(v, in[0].shape(), DType::f64), Tensor::from(m.mean, channels, DType::f64),
                   Tensor::from(m.var, channels, DType::f64)};
  };
  // Every third channel is nearly always below relu's kink, the others above.
  const auto sample = [](const Shape& shape, bool residual) {
    std::vector<double> bias;
    for (std::int64_t i = 0; i < shape[1]; ++i) bias.push_back(i % 3 == 1 ? -4 : 4);
    return Sample{{randn(shape), uniform({shape[1]}, 0.5, 0.8, 2), Tensor::from(bias, {shape[1]}, DType::f64),
                   residual ? uniform(shape, -0.5, 0.5, 4) : Tensor()}};
  };
  c.samples = {sample({3, 2, 2}, true),
               sample({3, 2, 2}, false),
               {{randn({5, 3}), {}, {}, {}}},
               sample({2, 6, 5, 7}, true),
               {{randn({4, 3, 2}, 5), {}, {}, randn({4, 3, 2}, 6)}},
               sample({3, 64, 23, 29}, true),
               sample({3, 64, 23, 29}, false)};
  c.errors = {{"batch_norm_relu: an empty batch has no statistics",
               [] {
                 batch_norm_relu(randn({0, 3, 2, 2}), {}, {}, {});
               }},
              {"batch_norm_relu: the residual must be like x", [] {
                 batch_norm_relu(randn({2, 3, 2, 2}), {}, {}, randn({2, 3, 2, 1}));
               }}};
}

OP_CASE(batch_norm_with) {
  c.covers = {"batch_norm"};  // a composition, not an op of its own
  c.fn = [](In in) { return Tensors{batch_norm_with(in[0], in[1], in[2], in[3], in[4])}; };
  c.naive = [](In in) {
    const SetOf set = [](std::size_t, std::size_t channel) { return channel; };
    const Tensor affine[] = {in[0], in[3], in[4]};
    return Tensors{normalised(affine, {{}, in[1].values(), in[2].values()}, set, 1e-5)};
  };
  c.samples = {{{randn({2, 3, 2}), randn({3}, 2), uniform({3}, 0.5, 2), randn({3}, 3), randn({3}, 4)}},
               {{randn({2, 6, 5, 7}), randn({6}, 2), uniform({6}, 0.5, 2), Tensor(), Tensor()}}};
  c.errors = {{"batch_norm_with: x must be [N, C, *] and statistics [C]", [] {
                 batch_norm_with(randn({2, 3}), randn({2}), randn({2}), Tensor(), Tensor());
               }}};
}

TEST_CASE("norm: a mean far from zero costs no digits of the variance") {
  // 1000 + {-1, 1}: in f32 the mean of squares would lose everything below 2^-4.
  std::vector<double> v(64 * 48);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = 1000.0 + (i % 2 == 0 ? -1.0 : 1.0);
  const Tensor x = Tensor::from(v, {64, 3, 4, 4}, DType::f32);
  const BatchNorm b = batch_norm(x, Tensor(), Tensor(), 0.0);
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK(b.mean.values()[k] == 1000.0);
    CHECK(b.var.values()[k] == 1.0);
  }
  CHECK(group_norm(x, 1, Tensor(), Tensor()).layout().channels_last());
}
