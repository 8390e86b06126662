// tests/nn/decoder_test.cpp -- decoding with a cache, padded rows, hidden states, taps and early stops of transformers.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "nn/grad_accumulator.h"
#include "nn/models/causal_lm.h"
#include "nn/models/vit.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
CausalLm small(LmLayout layout, double dropout = 0, std::int64_t window = 0) {
  CausalLm lm({.layout = layout,
               .vocab = 13,
               .context = 16,
               .width = 16,
               .depth = 2,
               .heads = 4,
               .kv_heads = layout == LmLayout::llama ? 2 : 0,
               .window = window,
               .dropout = dropout});
  convert(lm, DType::f64);
  for (auto& [name, p] : parameters_of(lm))
    if (p->value.rank() == 2) p->init = Init::normal(0.4);
  initialize(lm, Rng(3));
  return lm;
}

/// Logits of `tokens` read in pieces of the given lengths through one cache.
Tensor in_pieces(const CausalLm& lm, const Tensor& tokens, const std::vector<std::int64_t>& lengths,
                 const Tensor& left_pad = {}) {
  KvCache cache = lm.new_cache(tokens.size(0), tokens.size(1), DType::f64);
  std::vector<Tensor> parts;
  std::int64_t at = 0;
  for (const std::int64_t length : lengths) {
    Ctx ctx;
    parts.push_back(lm.logits(slice(tokens, 1, at, at + length), ctx, {.cache = &cache, .left_pad = left_pad}));
    at += length;
  }
  CHECK(cache.length() == at);
  return concat(parts, 1);
}

Tensor logits(const CausalLm& lm, const Tensor& tokens, const Tensor& left_pad = {}) {
  Ctx ctx;
  return lm.logits(tokens, ctx, {.left_pad = left_pad});
}
}  // namespace

TEST_CASE("decoder: logits read through a cache equal those of one masked forward") {
  const Tensor tokens = randint({3, 12}, 13);
  for (const LmLayout layout : {LmLayout::gpt2, LmLayout::llama})
    for (const std::int64_t window : {0, 5}) {
      if (layout == LmLayout::gpt2 && window > 0) continue;
      const CausalLm lm = small(layout, 0, window);
      const Tensor whole = logits(lm, tokens);
      CHECK(relative_error(in_pieces(lm, tokens, {12}), whole) < 1e-13);
      CHECK(relative_error(in_pieces(lm, tokens, {5, 1, 1, 3, 2}), whole) < 1e-13);
      // What is forgotten can be read again; a cache that starts elsewhere gives other answers.
      KvCache cache = lm.new_cache(3, 12, DType::f64);
      Ctx ctx;
      lm.logits(slice(tokens, 1, 2, 9), ctx, {.cache = &cache});
      cache.truncate(0);
      lm.logits(slice(tokens, 1, 0, 6), ctx, {.cache = &cache});
      cache.truncate(4);
      const Tensor rest = lm.logits(slice(tokens, 1, 4), ctx, {.cache = &cache});
      CHECK(relative_error(rest, slice(whole, 1, 4)) < 1e-13);
      cache.truncate(3);
      CHECK(relative_error(lm.logits(slice(tokens, 1, 4), ctx, {.cache = &cache}), slice(whole, 1, 4)) > 1e-3);
    }
}

TEST_CASE("decoder: padding on the left changes no answer, in one forward or through a cache") {
  const Tensor tokens = randint({3, 9}, 13);
  const std::vector<std::int64_t> pads = {0, 2, 5};
  const Tensor left_pad = Tensor::of<std::int64_t>(pads, {3});
  for (const LmLayout layout : {LmLayout::gpt2, LmLayout::llama}) {
    const CausalLm lm = small(layout);
    const Tensor padded = logits(lm, tokens, left_pad), cached = in_pieces(lm, tokens, {6, 1, 2}, left_pad);
    for (std::int64_t row = 0; row < 3; ++row) {
      const std::int64_t pad = pads[static_cast<std::size_t>(row)];
      const Tensor alone = logits(lm, slice(slice(tokens, 0, row, row + 1), 1, pad));
      CHECK(relative_error(slice(slice(padded, 0, row, row + 1), 1, pad), alone) < 1e-13);
      CHECK(relative_error(slice(slice(cached, 0, row, row + 1), 1, pad), alone) < 1e-13);
      if (pad > 0) CHECK(relative_error(slice(slice(logits(lm, tokens), 0, row, row + 1), 1, pad), alone) > 1e-3);
    }
  }
}

TEST_CASE("decoder: what does not fit is refused") {
  const CausalLm lm = small(LmLayout::llama);
  const Tensor tokens = randint({2, 6}, 13);
  Ctx ctx;
  KvCache cache = lm.new_cache(2, 8, DType::f64);
  lm.logits(tokens, ctx, {.cache = &cache});
  CHECK_THROWS_WITH_AS(lm.logits(tokens, ctx, {.cache = &cache}), doctest::Contains("within 8 positions"), ShapeError);
  CHECK_THROWS_AS(cache.truncate(7), ValueError);
  CHECK_THROWS_AS(lm.forward(randint({1, 17}, 13), ctx), ShapeError);
  CHECK_THROWS_AS(lm.forward(cast(tokens, DType::f64), ctx), ShapeError);
  CHECK_THROWS_AS(lm.logits(tokens, ctx, {.left_pad = Tensor::zeros({2})}), ShapeError);
  Tape tape;
  Leaves leaves(tape);
  Ctx tracked;
  tracked.leaves = &leaves;
  cache.truncate(0);
  CHECK_THROWS_AS(lm.logits(tokens, tracked, {.cache = &cache}), AutogradError);
}

TEST_CASE("decoder: hidden states times the head are the logits, and a tied head gathers both gradients") {
  const CausalLm lm = small(LmLayout::gpt2);
  const Tensor tokens = randint({2, 5}, 13), cotangent = randn({2, 5, 13});
  Ctx ctx;
  CHECK(matmul(lm.hidden(tokens, ctx), lm.head_weight(ctx), false, true).values() == lm.forward(tokens, ctx).values());
  // The same network with a head of its own: the tied gradient is the sum of the two.
  CausalLm apart = small(LmLayout::gpt2);
  apart.head.emplace(16, 13, false);
  apart.head->weight.value = apart.embed.weight.value;
  const auto embed_gradient = [&](CausalLm& m, const char* which) {
    GradAccumulator sink(parameters_of(m));
    Tape tape;
    Leaves leaves(tape);
    sink.attach(leaves);
    Ctx c;
    c.leaves = &leaves;
    const Tensor y = m.forward(tokens, c);
    tape.backward(std::span(&y, 1), std::span(&cotangent, 1), sink);
    for (std::size_t i = 0; i < sink.grads().size(); ++i)
      if (sink.parameters()[i].name == which) return sink.grads()[i];
    return Tensor();
  };
  CausalLm tied = lm;
  const Tensor both = embed_gradient(apart, "embed.weight") + embed_gradient(apart, "head.weight");
  CHECK(relative_error(embed_gradient(tied, "embed.weight"), both) < 1e-13);
}

TEST_CASE("attention: the wanted weights and value relations are distributions that give the output") {
  const CausalLm lm = small(LmLayout::llama, 0, 3);
  const Tensor tokens = randint({2, 6}, 13);
  Ctx ctx;
  for (const char* port : {"q", "k", "v", "attn", "value_relation", "in", "out"})
    ctx.wanted.push_back({"blocks.1.attn", port});
  lm.forward(tokens, ctx);
  const Tensor &q = ctx.tapped[0], &k = ctx.tapped[1], &v = ctx.tapped[2], &attn = ctx.tapped[3];
  CHECK(q.shape() == Shape{2, 4, 6, 4});
  CHECK(k.shape() == Shape{2, 2, 6, 4});
  CHECK(attn.shape() == Shape{2, 4, 6, 6});
  CHECK(ctx.tapped[4].shape() == Shape{2, 2, 6, 6});
  const Tensor ones = Tensor::full({2, 4, 6}, 1, DType::f64);
  CHECK(relative_error(sum(attn, {3}), ones) < 1e-14);
  const Tensor mixed = attention(q, k, v, {.causal = true, .window = 3});
  CHECK(relative_error(matmul(attn, repeat_interleave(v, 2, 1)), mixed) < 1e-13);
  Ctx inner;
  const Tensor merged = reshape(transpose(mixed, 1, 2), {2, 6, 16});
  CHECK(relative_error(lm.blocks[1].attn.out(merged, inner), ctx.tapped[6]) < 1e-13);
  const std::vector<double> weights = attn.values(), relation = ctx.tapped[4].values();
  for (std::size_t i = 0; i < 6; ++i)
    for (std::size_t j = 0; j < 6; ++j) {
      const bool visible = j <= i && i - j < 3;
      CHECK((weights[6 * i + j] > 0) == visible);
      CHECK((relation[6 * i + j] > 0) == visible);
    }
  // row 2 of the first head's value relation by hand: v2 v_j / sqrt(4) for the three visible values
  const std::vector<double> values = slice(select(select(v, 0, 0), 0, 0), 0, 0, 3).values();
  double scores[3] = {}, total = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    for (std::size_t d = 0; d < 4; ++d) scores[j] += values[8 + d] * values[4 * j + d] / 2;
    total += std::exp(scores[j]);
  }
  CHECK(relation[12] == doctest::Approx(std::exp(scores[0]) / total).epsilon(1e-12));
}

TEST_CASE("transformers: a wanted tap ends the forward, also inside recomputed blocks") {
  const CausalLm lm = small(LmLayout::gpt2);
  Vit vit({.image = 8, .patch = 4, .classes = 3, .width = 12, .depth = 2, .heads = 3, .distilled = true});
  convert(vit, DType::f64);
  initialize(vit, Rng(2));
  const auto check = [](const Model& m, const Tensor& x, const std::vector<TapId>& taps) {
    for (const TapId& tap : taps)
      for (const bool recompute : {false, true}) {
        CAPTURE(tap.path);
        Ctx whole, early;
        whole.wanted = early.wanted = {tap};
        early.stop_after_taps = true;
        early.recompute = recompute;
        m.forward(x, whole);
        const Tensor y = m.forward(x, early);
        if (!tap.path.starts_with("head")) CHECK_FALSE(y.defined());
        REQUIRE(early.tapped.size() == 1);
        CHECK(early.tapped[0].values() == whole.tapped[0].values());
      }
  };
  check(lm, randint({2, 5}, 13),
        {{"embed"}, {"blocks.0"}, {"blocks.1.attn", "attn"}, {"blocks.1.mlp", "pre_act"}, {"norm"}});
  check(vit, randn({2, 3, 8, 8}), {{"patch_embed"}, {"blocks.1"}, {"blocks.0.attn", "v"}, {"norm"}, {"head_dist"}});
}

TEST_CASE("transformers: dropout and dropped paths are keyed by sample, whatever the micro-batch or recomputation") {
  Vit vit(
      {.image = 8, .patch = 4, .classes = 3, .width = 12, .depth = 2, .heads = 3, .dropout = 0.2, .drop_path = 0.5});
  convert(vit, DType::f64);
  initialize(vit, Rng(2));
  const Tensor x = randn({8, 3, 8, 8});
  const auto run = [&](std::int64_t first, std::int64_t count, bool training, bool recompute = false) {
    std::vector<std::int64_t> samples;
    for (std::int64_t i = 0; i < count; ++i) samples.push_back(first + i);
    Ctx ctx;
    ctx.training = training;
    ctx.recompute = recompute;
    ctx.samples = Tensor::of<std::int64_t>(samples, {count});
    return vit.forward(slice(x, 0, first, first + count), ctx);
  };
  const Tensor whole = run(0, 8, true);
  CHECK(relative_error(run(3, 2, true), slice(whole, 0, 3, 5)) < 1e-13);
  CHECK(run(0, 8, true, true).values() == whole.values());
  CHECK(relative_error(run(0, 8, false), whole) > 1e-2);
  DropPath path(0.5);
  Ctx ctx;
  ctx.training = true;
  const std::vector<double> kept = path(Tensor::full({64, 2}, 1, DType::f64), ctx).values();
  int zeros = 0;
  for (std::size_t i = 0; i < kept.size(); i += 2) {
    CHECK(kept[i] == kept[i + 1]);
    CHECK((kept[i] == 0 || kept[i] == 2));
    zeros += kept[i] == 0;
  }
  CHECK(zeros > 16);
  CHECK(zeros < 48);
}
