// tests/op_cases/attention.cpp -- attention: grouped heads, masks, windows, odd lengths, strided heads; memory.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/nn.h"
#include "autograd/tape.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Plain loops over every query and key. `visible(b, h, i, j)` and `bias(b, h, i, j)` say what the mask does.
using Visible = std::function<bool(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>;
using Bias = std::function<double(std::int64_t, std::int64_t, std::int64_t, std::int64_t)>;

Function naive_attention(std::optional<double> scale, Visible visible, Bias bias = nullptr) {
  return [=](In in) {
    const Shape &qs = in[0].shape(), &vs = in[2].shape();
    const std::int64_t B = qs[0], H = qs[1], T = qs[2], D = qs[3], Hk = vs[1], S = vs[2], Dv = vs[3];
    const double by = scale.value_or(1 / std::sqrt(static_cast<double>(D)));
    const auto q = in[0].values(), k = in[1].values(), v = in[2].values();
    const auto row = [](std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t heads, std::int64_t rows,
                        std::int64_t width) { return static_cast<std::size_t>(((a * heads + b) * rows + c) * width); };
    std::vector<double> out;
    for (std::int64_t b = 0; b < B; ++b)
      for (std::int64_t h = 0; h < H; ++h)
        for (std::int64_t i = 0; i < T; ++i) {
          std::vector<double> value(static_cast<std::size_t>(Dv), 0.0);
          double total = 0;
          for (std::int64_t j = 0; j < S; ++j) {
            if (!visible(b, h, i, j)) continue;
            double score = bias ? bias(b, h, i, j) : 0.0;
            for (std::int64_t d = 0; d < D; ++d)
              score += by * q[row(b, h, i, H, T, D) + static_cast<std::size_t>(d)] *
                       k[row(b, h * Hk / H, j, Hk, S, D) + static_cast<std::size_t>(d)];
            total += std::exp(score);
            for (std::size_t d = 0; d < value.size(); ++d)
              value[d] += std::exp(score) * v[row(b, h * Hk / H, j, Hk, S, Dv) + d];
          }
          for (double x : value) out.push_back(total > 0 ? x / total : 0.0);
        }
    return Tensors{Tensor::from(out, {B, H, T, Dv}, DType::f64)};
  };
}

struct Sizes {
  std::int64_t batch, heads, kv_heads, queries, keys, width, value_width;
};
Tensors inputs(const Sizes& s) {
  return {randn({s.batch, s.heads, s.queries, s.width}, 1), randn({s.batch, s.kv_heads, s.keys, s.width}, 2),
          randn({s.batch, s.kv_heads, s.keys, s.value_width}, 3)};
}
Sample plain(const Sizes& s, bool causal = false, std::int64_t window = 0, std::optional<double> scale = {}) {
  const std::int64_t shift = s.keys - s.queries;
  return {inputs(s),
          [=](In in) {
            return Tensors{attention(in[0], in[1], in[2], {scale, causal, window, {}})};
          },
          naive_attention(scale, [=](auto, auto, std::int64_t i, std::int64_t j) {
            const std::int64_t at = i + shift;
            return !(causal && j > at) && !(window > 0 && std::abs(at - j) >= window);
          })};
}

/// bool masks: row 1 of the queries sees nothing.
Sample bool_masked(const Sizes& s, const Shape& shape) {
  Tensor mask = cast(randint(shape, 4, 9), DType::boolean);
  std::vector<double> m = mask.values();
  const std::int64_t keys = shape[3], rows = shape[2];
  for (std::size_t i = 0; i < m.size(); ++i)
    if (rows > 1 && static_cast<std::int64_t>(i) / keys % rows == 1) m[i] = 0;
  mask = Tensor::from(m, shape, DType::boolean);
  const Strides strides = broadcast_layout(mask.layout(), {s.batch, s.heads, s.queries, s.keys}).strides;
  return {
      inputs(s),
      [mask](In in) {
        return Tensors{attention(in[0], in[1], in[2],
                                 {.mask = in[0].meta() ? Tensor::empty(mask.shape(), DType::boolean, kMeta) : mask})};
      },
      naive_attention({}, [=](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
        return m[static_cast<std::size_t>(b * strides[0] + h * strides[1] + i * strides[2] + j * strides[3])] != 0;
      })};
}

/// Additive masks: constant (`tracked` false, the streaming backward) or an input with a gradient.
Sample biased(const Sizes& s, const Shape& shape, bool tracked) {
  const Tensor mask = randn(shape, 8);
  const auto m = mask.values();
  const Strides strides = broadcast_layout(mask.layout(), {s.batch, s.heads, s.queries, s.keys}).strides;
  const auto naive = naive_attention(
      {}, [](auto...) { return true; },
      [=](std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) {
        return m[static_cast<std::size_t>(b * strides[0] + h * strides[1] + i * strides[2] + j * strides[3])];
      });
  Tensors in = inputs(s);
  if (tracked) {
    in.push_back(mask);
    return {in, [](In x) { return Tensors{attention(x[0], x[1], x[2], {.mask = x[3]})}; }, naive};
  }
  return {in,
          [mask](In x) {
            const Tensor m_in =
                x[0].meta() ? Tensor::empty(mask.shape(), x[0].dtype(), kMeta) : cast(mask, x[0].dtype());
            return Tensors{attention(x[0], x[1], x[2], {.mask = m_in})};
          },
          naive};
}

/// The streaming gradient against the decomposition's, beyond one block of queries and keys.
double gradient_error(const Sizes& s, const AttentionOptions& options, DType dtype) {
  Tensors in = inputs(s), g[2];
  for (Tensor& t : in) t = cast(t, dtype);
  const Tensor u = cast(randn({s.batch, s.heads, s.queries, s.value_width}, 4), dtype);
  const bool wants[] = {true, true, true};
  for (const bool fused : {true, false}) {
    const FusedScope scope(fused);
    g[fused ? 0 : 1] = pull_back([&](In x) { return Tensors{attention(x[0], x[1], x[2], options)}; }, In(in),
                                 std::span(&u, 1), std::span<const bool>(wants));
  }
  double worst = 0;
  for (std::size_t i = 0; i < 3; ++i)
    worst = std::max(worst, relative_error(cast(g[0][i], DType::f64), cast(g[1][i], DType::f64)));
  return worst;
}
}  // namespace

OP_CASE(attention) {
  c.covers = {"attention", "attention_backward"};
  c.order = 2;
  c.samples = {plain({1, 2, 1, 2, 3, 2, 2}),
               plain({2, 4, 2, 5, 7, 3, 4}, true),
               plain({1, 2, 2, 7, 5, 3, 2}, true),  // the first two queries see nothing
               plain({1, 1, 1, 9, 9, 2, 2}, true, 3),
               plain({1, 1, 1, 9, 11, 2, 2}, false, 2),
               plain({1, 2, 2, 4, 4, 3, 3}, false, 0, 0.3),
               bool_masked({2, 2, 1, 3, 5, 2, 2}, {1, 2, 3, 5}),
               bool_masked({2, 2, 1, 3, 5, 2, 2}, {2, 1, 1, 5}),
               biased({1, 2, 2, 3, 4, 2, 2}, {1, 2, 3, 4}, true),
               biased({2, 2, 1, 3, 4, 2, 2}, {2, 1, 3, 4}, false),
               plain({0, 2, 1, 3, 3, 2, 2}),
               plain({1, 2, 1, 3, 0, 2, 2}),
               plain({1, 2, 1, 141, 271, 4, 3}, true)};
  // Scores, weights and their slopes are rounded to f32 and summed over keys twice.
  c.tolerance_f32 = 2e-6;
  c.errors = {
      {"attention: wants q",
       [] {
         attention(randn({1, 3, 2, 4}), randn({1, 2, 2, 4}), randn({1, 2, 2, 4}));
       }},
      {"attention: wants q",
       [] {
         attention(randn({1, 2, 2, 4}), randn({1, 0, 2, 4}), randn({1, 0, 2, 4}));
       }},
      {"attention: the mask must broadcast to [1, 2, 2, 3]",
       [] {
         attention(randn({1, 2, 2, 4}), randn({1, 2, 3, 4}), randn({1, 2, 3, 4}), {.mask = randn({2, 1, 1, 3})});
       }},
      {"attention: a mask is bool",
       [] {
         attention(randn({1, 2, 2, 4}), randn({1, 2, 3, 4}), randn({1, 2, 3, 4}), {.mask = randint({2, 3}, 2)});
       }},
      {"attention: a window is positive", [] {
         attention(randn({1, 2, 2, 4}), randn({1, 2, 3, 4}), randn({1, 2, 3, 4}), {.window = -1});
       }}};
}

TEST_CASE("attention: gradients across several blocks, grouped heads, causal and windowed") {
  const Sizes s{2, 4, 2, 300, 530, 5, 3};
  CHECK(gradient_error(s, {}, DType::f64) < 1e-12);
  CHECK(gradient_error(s, {.causal = true}, DType::f64) < 1e-12);
  CHECK(gradient_error(s, {.causal = true, .window = 70}, DType::f64) < 1e-12);
  CHECK(gradient_error(s, {.causal = true}, DType::f32) < 3e-6);
  CHECK(gradient_error(s, {.causal = true}, DType::bf16) < 3 * 0x1p-8);
}

TEST_CASE("attention: one pair of vectors, by hand") {
  // Two keys with scores 0 and log 3: weights 1/4 and 3/4.
  const Tensor q = Tensor::full({1, 1, 1, 1}, std::log(3.0), DType::f64);
  const Tensor k = Tensor::from(std::vector<double>{0, 1}, {1, 1, 2, 1}, DType::f64);
  const Tensor v = Tensor::from(std::vector<double>{4, 8}, {1, 1, 2, 1}, DType::f64);
  CHECK(attention(q, k, v).item() == doctest::Approx(7.0).epsilon(1e-14));
  CHECK(attention(q, k, v, {.scale = 0.0}).item() == doctest::Approx(6.0).epsilon(1e-14));
  // Aligned to the end: the only query sees both keys, the first of two would see one.
  CHECK(attention(q, k, v, {.causal = true}).item() == doctest::Approx(7.0).epsilon(1e-14));
}

TEST_CASE("attention: huge scores stay finite") {
  const Tensor q = Tensor::full({1, 1, 3, 2}, 300.0, DType::f32), v = cast(randn({1, 1, 4, 2}), DType::f32);
  const Tensor k = cast(randn({1, 1, 4, 2}, 2) * 100.0, DType::f32);
  for (const double x : attention(q, k, v).values()) CHECK(std::isfinite(x));
}

TEST_CASE("attention: heads stored inside tokens stay there") {
  const Tensor tokens = randn({2, 5, 3, 4});
  const Layout heads{{2, 3, 5, 4}, {60, 4, 12, 1}, 0};
  const Tensor q = tokens.view(heads);
  CHECK(attention(q, q, q).strides() == heads.strides);
}

TEST_CASE("attention: 4096 queries and keys take at most 16 MB beside inputs, output and gradients") {
  const Shape shape{1, 8, 4096, 64};
  const std::int64_t one = shape.product() * 4;
  for (const Device device : {kMeta, kCpu}) {
    Ref<MemoryAccount> account(new MemoryAccount);
    const MemoryScope scope(account);
    const auto make = [&] { return Tensor::full(shape, 0.5, DType::f32, device); };
    const Tensor in[] = {make(), make(), make()}, cot = make();
    const bool wants[] = {true, true, true};
    const Tensors g = pull_back([](In x) { return Tensors{attention(x[0], x[1], x[2], {.causal = true})}; }, In(in),
                                std::span(&cot, 1), std::span<const bool>(wants));
    // q, k, v, their gradients, the output and its cotangent.
    CHECK(account->peak() - 8 * one <= std::int64_t{16} << 20);
    CHECK(account->peak() >= 8 * one);
  }
}
