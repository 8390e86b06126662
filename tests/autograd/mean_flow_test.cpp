// tests/autograd/mean_flow_test.cpp -- a training step whose target holds a directional derivative of the network
// (MeanFlow, Geng et al. 2025; sCM, Lu and Song 2024) costs the tape nothing.
#include <doctest/doctest.h>

#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/tape.h"
#include "tensor/random.h"

using namespace retort;

namespace {
constexpr std::int64_t kRows = 256, kWidth = 128, kDepth = 4;

Tensor draw(const Shape& shape, const char* name) { return normal(shape, Rng(3).stream(name), DType::f32); }

struct Problem {
  Tensor z = draw({kRows, kWidth - 1}, "z"), t = uniform({kRows, 1}, Rng(3).stream("t"));
  Tensor v = draw({kRows, kWidth - 1}, "v"), ones = Tensor::full({kRows, 1}, 1);
  Tensors weights;
  Problem() {
    for (std::int64_t i = 0; i < kDepth; ++i)
      weights.push_back(draw({kWidth, kWidth}, i == 0 ? "w0" : i == 1 ? "w1" : i == 2 ? "w2" : "w3") * 0.1);
  }
};

/// The average velocity u(z, t) of a residual perceptron.
Tensor velocity(const Tensor& z, const Tensor& t, std::span<const Tensor> weights) {
  Tensor h = concat(Tensors{z, t}, 1);
  for (const Tensor& w : weights) h = h + gelu(linear(layer_norm(h, {}, {}), w));
  return slice(h, 1, 0, kWidth - 1);
}

enum class Target { flow, mean_flow, tracked_mean_flow };

struct Measured {
  std::int64_t nodes = 0, saved = 0, peak = 0;
  Tensors gradients;
};

/// |u - sg(v - t (du/dz v + du/dt))|^2 with r = 0, or |u - v|^2.
Measured step(const Problem& p, Target target, const Tensor& given = {}) {
  Ref<MemoryAccount> account(new MemoryAccount);
  const MemoryScope scope(account);
  Measured m;
  Tape tape;
  Tensors leaves;
  for (const Tensor& w : p.weights) leaves.push_back(tape.watch(w));
  Tensor u, goal = given.defined() ? given : p.v;
  if (target == Target::flow) {
    u = velocity(p.z, p.t, leaves);
  } else {
    const auto f = [&](std::span<const Tensor> in) { return Tensors{velocity(in[0], in[1], leaves)}; };
    const Tensor at[] = {p.z, p.t}, along[] = {p.v, p.ones};
    const JvpResult r = jvp(f, at, along, target == Target::mean_flow ? JvpMode::detached : JvpMode::tracked);
    u = r.out[0];
    goal = stop_gradient(p.v - p.t * r.tangent[0]);
  }
  const Tensor loss = mean(square(u - goal));
  m.nodes = tape.size();
  m.saved = tape.saved_bytes();
  m.gradients = tape.gradients(loss, leaves);
  m.peak = account->peak();
  return m;
}
}  // namespace

TEST_CASE("jvp: the tape of a MeanFlow step is as large as without the directional derivative") {
  const Problem p;
  const Measured plain = step(p, Target::flow), mean_flow = step(p, Target::mean_flow);
  CHECK(mean_flow.nodes == plain.nodes);
  CHECK(mean_flow.saved == plain.saved);
  CHECK(static_cast<double>(mean_flow.peak) <= 1.5 * static_cast<double>(plain.peak));
  // Tangents that outer levels may differentiate are what it would cost otherwise.
  CHECK(step(p, Target::tracked_mean_flow).nodes > plain.nodes);
}

TEST_CASE("jvp: the gradient of a MeanFlow step is that of a regression on its target") {
  const Problem p;
  const auto f = [&](std::span<const Tensor> in) { return Tensors{velocity(in[0], in[1], p.weights)}; };
  const Tensor at[] = {p.z, p.t}, along[] = {p.v, p.ones};
  const Tensor goal = p.v - p.t * jvp(f, at, along, JvpMode::detached).tangent[0];
  const Tensors expected = step(p, Target::flow, goal).gradients, got = step(p, Target::mean_flow).gradients;
  const Tensors without = step(p, Target::flow).gradients;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double scale = sum(square(expected[i])).item();
    CHECK(sum(square(got[i] - expected[i])).item() <= 1e-10 * scale);
    CHECK(sum(square(without[i] - expected[i])).item() > 1e-4 * scale);
  }
}
