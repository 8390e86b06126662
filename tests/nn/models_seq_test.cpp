// tests/nn/models_seq_test.cpp -- transformers against their reference implementations; sizes, derivatives, meta.
#include "autograd/check_grads.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/train/models.h"
#include "nn/models/causal_lm.h"
#include "nn/models/vit.h"
#include "tests/nn/fixture.h"
#include "tests/nn/reference.h"

using namespace retort;
using namespace retort::testing;

namespace {
std::unique_ptr<Model> built(const std::string& arch) {
  return build_model(parse_call(arch, "test"), {.channels = 3, .height = 224, .width = 224, .classes = 1000});
}
}  // namespace

TEST_CASE("models: vit agrees with timm's, and does not with another epsilon or activation") {
  check_reference("vit");
  const Reference reference("vit");
  const auto model = reference.model();
  auto& vit = dynamic_cast<Vit&>(*model);
  vit.norm.eps = 1e-5;
  CHECK(reference.compare(vit).output > 1e-7);
  vit.norm.eps = 1e-6;
  std::get<Mlp>(vit.blocks[1].mlp).act = Activation::gelu_tanh;
  CHECK(reference.compare(vit).output > 1e-7);
}

TEST_CASE("models: deit agrees with timm's, and does not when the special tokens change places") {
  check_reference("deit");
  const Reference reference("deit");
  const auto model = reference.model();
  auto& deit = dynamic_cast<Vit&>(*model);
  std::swap(deit.class_token, deit.dist_token);
  CHECK(reference.compare(deit).output > 1e-4);
}

TEST_CASE("models: gpt2 agrees with transformers', and does not when it sees the future") {
  check_reference("gpt2");
  const Reference reference("gpt2");
  const auto model = reference.model();
  auto& lm = dynamic_cast<CausalLm&>(*model);
  lm.blocks[0].attn.config.causal = false;
  CHECK(reference.compare(lm).output > 1e-4);
}

TEST_CASE("models: llama agrees with transformers', tied or not, and does not with other rotations") {
  check_reference("llama");
  check_reference("llama_tied");
  const Reference reference("llama");
  const auto model = reference.model();
  auto& lm = dynamic_cast<CausalLm&>(*model);
  lm.blocks[2].attn.config.rotary.base = 501;
  CHECK(reference.compare(lm).output > 1e-7);
}

TEST_CASE("models: Llama's relatives agree with transformers', each by its own key") {
  struct Case {
    const char *name, *key;
    double least;  ///< what leaving out the key does to the output
  };
  const Case cases[] = {{"llama_linear", " rotary=linear(factor=4)", 1e-2},
                        {"llama_llama3", " rotary=llama3(factor=8 low=1 high=4 original=100)", 1e-3},
                        {"llama_yarn", " rotary=yarn(factor=8 original=100 fast=8)", 1e-3},
                        {"mistral", " window=4", 1e-2}};
  for (const Case& c : cases) {
    CAPTURE(std::string(c.name));
    check_reference(c.name);
    const Reference reference(c.name);
    std::string arch = reference.arch();
    REQUIRE(arch.find(c.key) != arch.npos);
    const auto without = built(arch.erase(arch.find(c.key), std::string(c.key).size()));
    reference.fill(*without);
    CHECK(reference.compare_evaluation(*without).output > c.least);
  }
  // Their keys have parameters, without which nothing could be filled.
  for (const char* name : {"llama_bias", "qwen2", "qwen3"}) check_reference(name);
  const Reference reference("qwen3");
  const auto model = reference.model();
  auto& lm = dynamic_cast<CausalLm&>(*model);
  std::swap(lm.blocks[1].attn.q_norm, lm.blocks[1].attn.k_norm);
  CHECK(reference.compare_evaluation(lm).output > 1e-4);
}

TEST_CASE("models: rates of rotary positions, and those that make no sense") {
  const RotaryConfig plain{.base = 100.0};
  CHECK(rotary_rates(plain, 4) == std::vector<double>{1, 0.1});
  CHECK(rotary_rates({.base = 100.0, .width = 2}, 4) == std::vector<double>{1});
  CHECK(rotary_rates({.base = 100.0, .scaling = RotaryScaling::linear, .factor = 4}, 4) ==
        std::vector<double>{0.25, 0.025});
  const char* wrong[] = {"rotary_width=3",
                         "rotary_width=6",
                         "rotary=linear(factor=0.5)",
                         "rotary=llama3(factor=8 low=4 high=4 original=64)",
                         "rotary=yarn(factor=8 original=64 slow=32 fast=32)",
                         "rotary=dynamic(factor=2)",
                         "rotary=llama3(factor=8)",
                         "bias=all",
                         "qk_norm=all",
                         "head_width=3"};
  for (const char* more : wrong) {
    CAPTURE(std::string(more));
    CHECK_THROWS_AS(built(fmt::format("llama(vocab=9 width=8 heads=2 depth=1 {})", more)), ConfigError);
  }
}

TEST_CASE("models: a decoder of every key reads on from its cache as in one pass") {
  const auto model = built(
      "llama(vocab=9 context=16 width=8 depth=2 heads=2 kv_heads=1 hidden=12 head_width=6 window=3 bias=qkv "
      "qk_norm=head rotary_width=4 rotary=yarn(factor=4 original=64))");
  initialize(*model, Rng(3));
  const auto& lm = dynamic_cast<const CausalLm&>(*model);
  const Tensor tokens = randint({2, 7}, 9);
  Ctx ctx;
  const Tensor whole = lm.forward(tokens, ctx);
  KvCache cache = lm.new_cache(2, 7);
  for (std::int64_t i = 0; i < 7; ++i)
    CHECK(relative_error(cast(lm.logits(slice(tokens, 1, i, i + 1), ctx, {.cache = &cache}), DType::f64),
                         cast(slice(whole, 1, i, i + 1), DType::f64)) < 1e-5);
}

TEST_CASE("models: transformers have as many parameters as their references") {
  struct Case {
    const char *name, *more;
    std::int64_t depth, count;
  };
  const Case cases[] = {{"vit_tiny", "", 12, 5717416},
                        {"vit_small", "", 12, 22050664},
                        {"vit_base", "", 12, 86567656},
                        {"deit_tiny", "", 12, 5910800},
                        {"deit_small", "", 12, 22436432},
                        {"deit_base", "", 12, 87338192},
                        {"gpt2", "vocab=50257", 12, 124439808},
                        {"llama", "vocab=49152 width=576 hidden=1536 heads=9 kv_heads=3 head=tied", 30, 134515008},
                        {"llama", "vocab=32000 width=288 hidden=768 heads=6 head=own", 6, 24407712}};
  // Blocks are equal: the count is affine in the depth, and the large ones need not be built.
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const std::int64_t one = parameter_count(*built(fmt::format("{}(depth=1 {})", c.name, c.more)));
    const std::int64_t two = parameter_count(*built(fmt::format("{}(depth=2 {})", c.name, c.more)));
    CHECK(one + (two - one) * (c.depth - 1) == c.count);
  }
  CHECK(parameter_count(*built("deit_tiny")) == 5910800);
}

TEST_CASE("models: the expression of a transformer builds it again") {
  for (const char* arch :
       {"vit(image=16 patch=4 in=1 classes=3 width=8 depth=1 heads=2 hidden=12 dropout=0.1 drop_path=0.2)",
        "deit(image=16 patch=4 in=1 classes=3 width=8 depth=1 heads=2 hidden=12 dropout=0 drop_path=0)",
        "gpt2(vocab=9 context=8 width=8 depth=1 heads=2 hidden=12 eps=1e-05 head=own dropout=0.1)",
        "llama(vocab=9 context=8 width=8 depth=1 heads=4 kv_heads=2 hidden=12 window=3 rotary_base=500 eps=1e-06 "
        "head=tied dropout=0)",
        "llama(vocab=9 context=8 width=8 depth=1 heads=4 kv_heads=2 hidden=12 window=3 rotary_base=500 eps=1e-06 "
        "head=tied dropout=0 head_width=6 bias=qkv qk_norm=head rotary_width=4 rotary=llama3(factor=8 low=1 high=4 "
        "original=64))",
        "llama(vocab=9 context=8 width=8 depth=1 heads=4 kv_heads=2 hidden=12 window=0 rotary_base=500 eps=1e-06 "
        "head=own dropout=0 bias=attn rotary=yarn(factor=8 original=64 slow=2 fast=16 attention=1.5 ramp=exact))"}) {
    const auto model = built(arch);
    CHECK(model->arch() == arch);
    CHECK(model->clone()->arch() == arch);
  }
  CHECK_THROWS_WITH_AS(built("gpt2(vocab=9 head=none)"), doctest::Contains("tied"), ConfigError);
  CHECK_THROWS_AS(built("llama(vocab=9 width=8 heads=4 kv_heads=3)"), ConfigError);
  CHECK_THROWS_AS(built("llama(vocab=9 width=12 heads=4)"), ConfigError);  // rotary positions turn pairs
  CHECK_THROWS_AS(built("vit(image=30 patch=4)"), ConfigError);
}

TEST_CASE("models: transformers start from the reference's laws") {
  CausalLm lm({.vocab = 50, .context = 40, .width = 32, .depth = 2, .heads = 2});
  initialize(lm, Rng(1));
  const auto deviation = [](const Tensor& t) { return std::sqrt(mean(t * t).item()); };
  CHECK(deviation(lm.embed.weight.value) == doctest::Approx(0.02).epsilon(0.05));
  CHECK(deviation(lm.blocks[1].attn.out.weight.value) == doctest::Approx(0.01).epsilon(0.05));
  CHECK(deviation(std::get<Mlp>(lm.blocks[0].mlp).up.weight.value) == doctest::Approx(0.02).epsilon(0.05));
  CHECK(deviation(lm.blocks[1].attn.qkv->bias.value) == 0);
  CHECK_FALSE(lm.positions->weight.decays);
  Vit vit({.image = 32, .width = 48, .depth = 1, .heads = 3});
  initialize(vit, Rng(1));
  const double bound = 1 / std::sqrt(3 * 16 * 16.0);
  CHECK(deviation(vit.patch_embed.proj.weight.value) == doctest::Approx(bound / std::sqrt(3)).epsilon(0.02));
  CHECK(deviation(vit.positions.value) == doctest::Approx(0.02).epsilon(0.1));
}

TEST_CASE("models: a small gpt2 and llama have derivatives to second order in every parameter") {
  for (const char* arch : {"gpt2(vocab=5 context=4 width=4 depth=1 heads=2 hidden=6)",
                           "llama(vocab=5 context=4 width=4 depth=1 heads=2 kv_heads=1 hidden=6 head=tied bias=attn "
                           "qk_norm=head head_width=5 rotary_width=4)"}) {
    CAPTURE(std::string(arch));
    const auto model = built(arch);
    convert(*model, DType::f64);
    std::vector<std::string> names;
    std::vector<Tensor> values;
    for (const auto& [name, p] : parameters_of(*model)) {
      names.push_back(name);
      values.push_back(randn(p->value.shape(), names.size()));
    }
    const Tensor tokens = randint({1, 3}, 5);
    const auto f = [&](std::span<const Tensor> in) {
      std::vector<std::pair<std::string, Tensor>> pairs;
      for (std::size_t i = 0; i < in.size(); ++i) pairs.emplace_back(names[i], in[i]);
      const ParamValues substitute = with_params(*model, pairs);
      Ctx ctx;
      ctx.substitute = &substitute;
      return Tensors{model->forward(tokens, ctx)};
    };
    CHECK(check_grads(f, values, {.order = 2}) == "");
  }
}

TEST_CASE("models: on the meta device transformers give shapes, also with a tape and a cache") {
  CausalLm lm({.layout = LmLayout::llama, .vocab = 50, .width = 32, .depth = 2, .heads = 4, .kv_heads = 2});
  move_to(lm, kMeta);
  const Tensor tokens = Tensor::empty({2, 7}, DType::i64, kMeta);
  Tape tape;
  Leaves leaves(tape);
  Ctx ctx, plain;
  ctx.leaves = &leaves;
  CHECK(lm.forward(tokens, ctx).shape() == Shape{2, 7, 50});
  KvCache cache = lm.new_cache(2, 9);
  CHECK(lm.logits(tokens, plain, {.cache = &cache}).shape() == Shape{2, 7, 50});
  CHECK(lm.logits(slice(tokens, 1, 0, 1), plain, {.cache = &cache}).shape() == Shape{2, 1, 50});
  Vit vit({.image = 32, .classes = 5, .width = 24, .depth = 1, .distilled = true, .dropout = 0.1, .drop_path = 0.1});
  move_to(vit, kMeta);
  Ctx training;
  training.training = true;
  CHECK(vit.forward(Tensor::empty({2, 3, 32, 32}, DType::f32, kMeta), training).shape() == Shape{2, 5});
}
