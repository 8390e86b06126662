// bench/models.cpp -- whole steps: training (forward, backward, AdamW, running statistics), evaluation, distillation.
#include "distill/train/models.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "bench/case.h"
#include "nn/grad_accumulator.h"
#include "nn/models/causal_lm.h"
#include "nn/models/edm.h"
#include "nn/models/unet.h"
#include "nn/optim/adam.h"
#include "tensor/random.h"

namespace retort::bench {
namespace {

constexpr const char* kStudent = "convnet(widths=16x24x40 depth=2 stem=1 norm=batch act=relu)";
constexpr const char* kTeacher = "convnet(widths=32x64x128 depth=2 stem=1 norm=batch act=relu)";

std::unique_ptr<Model> model_of(const std::string& arch, const Shape& input, std::int64_t classes) {
  ModelSizes sizes{input[1], input[2], input[3], classes};
  auto model = build_model(parse_call(arch, "bench"), sizes);
  name_modules(*model);
  initialize(*model, Rng(1));
  return model;
}

Tensor images(const Shape& shape) { return channels_last(normal(shape, Rng(1).stream("images"))); }
Tensor labels(std::int64_t n, std::int64_t classes) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::int64_t>(uniform_int(Rng(1).stream("labels"), i, 0, static_cast<std::uint64_t>(classes)));
  return Tensor::of(std::span<const std::int64_t>(ids), {n});
}

/// A module that is trained: one call of `step` is forward, backward, update and running statistics.
template <class M>
class Training {
 public:
  explicit Training(std::unique_ptr<M> model)
      : model_(std::move(model)), optimizer_({.weight_decay = 0.01}), gradients_(parameters_of(*model_)) {}

  /// loss_of(model, ctx) is the loss of one batch.
  template <class Loss>
  double step(Loss&& loss_of) {
    Tape tape;
    Leaves leaves(tape);
    std::vector<StatUpdate> stats;
    Ctx ctx;
    ctx.training = true;
    ctx.leaves = &leaves;
    ctx.stats = &stats;
    ctx.step = step_++;
    const Tensor loss = loss_of(*model_, ctx);
    const Tensor one = Tensor::scalar(1);
    gradients_.zero();
    gradients_.attach(leaves);
    tape.backward(std::span(&loss, 1), std::span(&one, 1), gradients_);
    optimizer_.step(gradients_.parameters(), gradients_.grads(), 1e-3);
    apply_statistics(stats);
    return loss.unlifted().item();
  }

 private:
  std::unique_ptr<M> model_;
  AdamW optimizer_;
  GradAccumulator gradients_;
  std::uint32_t step_ = 0;
};

Tensor logits_of(const Model& model, const Tensor& x) {
  Ctx ctx;
  return model(x, ctx);
}

void classifier(const std::string& name, const std::string& arch, const Shape& shape, std::int64_t classes) {
  Register("step_" + name, [=] {
    const auto training = std::make_shared<Training<Model>>(model_of(arch, shape, classes));
    const Tensor x = images(shape), y = labels(shape[0], classes);
    return [=] { return training->step([&](const Model& m, Ctx& ctx) { return mean(cross_entropy(m(x, ctx), y)); }); };
  });
  Register("eval_" + name, [=] {
    const std::shared_ptr<Model> model = model_of(arch, shape, classes);
    const Tensor x = images(shape), y = labels(shape[0], classes);
    return [=] { return mean(cross_entropy(logits_of(*model, x), y)).item(); };
  });
}

/// Logit distillation at temperature 4 on a batch of 128, the teacher called or its answers given.
void distillation(const std::string& name, bool cached) {
  Register(name, [=] {
    const Shape shape{128, 1, 28, 28};
    const auto training = std::make_shared<Training<Model>>(model_of(kStudent, shape, 10));
    const std::shared_ptr<Model> teacher = model_of(kTeacher, shape, 10);
    const Tensor x = images(shape), y = labels(128, 10), answers = logits_of(*teacher, x);
    return [=] {
      const Tensor t = cached ? answers : logits_of(*teacher, x);
      return training->step([&](const Model& m, Ctx& ctx) {
        const Tensor logits = m(x, ctx);
        const Tensor kd = mean(kl_forward(logits, t, {4, 4}));
        return add(mean(cross_entropy(logits, y)) * 0.1, kd * (0.9 * 16));
      });
    };
  });
}

constexpr CausalLmConfig kGptMini{.vocab = 8192, .context = 256, .width = 384, .depth = 6, .heads = 6};

/// Next-token prediction on 4 rows of 256 tokens.
void language_model() {
  const auto make = [] {
    auto model = std::make_unique<CausalLm>(kGptMini);
    name_modules(*model);
    initialize(*model, Rng(1));
    return model;
  };
  const auto loss = [](const CausalLm& m, Ctx& ctx, const Tensor& x, const Tensor& y) {
    return mean(cross_entropy(m(x, ctx), y));
  };
  const auto tokens = [] { return reshape(labels(4 * 256, kGptMini.vocab), {4, 256}); };
  Register("step_gpt_mini", [=] {
    const auto training = std::make_shared<Training<CausalLm>>(make());
    const Tensor x = tokens();
    return [=] { return training->step([&](const CausalLm& m, Ctx& ctx) { return loss(m, ctx, x, x); }); };
  });
  Register("eval_gpt_mini", [=] {
    const std::shared_ptr<CausalLm> model = make();
    const Tensor x = tokens();
    return [=] {
      Ctx ctx;
      return loss(*model, ctx, x, x).item();
    };
  });
}

/// EDM's loss, the error of the denoised sample weighted by (sigma^2 + sd^2) / (sigma sd)^2, on 8 images of 32 x 32.
void diffusion() {
  const auto make = [] {
    auto net = std::make_unique<Unet>(
        UnetConfig{.image = 32, .width = 64, .mult = {1, 2, 2}, .blocks = 2, .attention = {16}, .dropout = 0});
    auto model = std::make_unique<EdmDenoiser>(std::move(net));
    name_modules(*model);
    initialize(*model, Rng(1));
    return model;
  };
  const auto loss = [](const EdmDenoiser& m, Ctx& ctx, const Tensor& clean, const Tensor& noise, const Tensor& t) {
    const Tensor sigma = reshape(t, {8, 1, 1, 1});
    const Tensor out = m.forward(clean + noise * sigma, {.t = t}, ctx);
    const Tensor weight = (square(sigma) + 0.25) * reciprocal(square(sigma * 0.5));
    return mean(square(out - clean) * weight);
  };
  const auto draw = [](const Shape& shape, const char* name) {
    return channels_last(normal(shape, Rng(1).stream(name)));
  };
  const auto sigmas = [] { return exp(normal({8}, Rng(1).stream("sigma")) * 1.2 - 1.2); };
  Register("step_unet_edm", [=] {
    const auto training = std::make_shared<Training<EdmDenoiser>>(make());
    const Tensor x = draw({8, 3, 32, 32}, "x") * 0.5, noise = draw({8, 3, 32, 32}, "noise"), t = sigmas();
    return [=] { return training->step([&](const EdmDenoiser& m, Ctx& ctx) { return loss(m, ctx, x, noise, t); }); };
  });
  Register("eval_unet_edm", [=] {
    const std::shared_ptr<EdmDenoiser> model = make();
    const Tensor x = draw({8, 3, 32, 32}, "x") * 0.5, noise = draw({8, 3, 32, 32}, "noise"), t = sigmas();
    return [=] {
      Ctx ctx;
      return loss(*model, ctx, x, noise, t).item();
    };
  });
}

const int registered = [] {
  Register("warm_up", [] {
    const auto training = std::make_shared<Training<Model>>(model_of("convnet(widths=8 depth=1)", {2, 3, 8, 8}, 4));
    const Tensor x = images({2, 3, 8, 8}), y = labels(2, 4);
    return [=] { return training->step([&](const Model& m, Ctx& ctx) { return mean(cross_entropy(m(x, ctx), y)); }); };
  });
  classifier("student", kStudent, {128, 1, 28, 28}, 10);
  classifier("resnet20", "resnet_cifar(depth=20)", {64, 3, 32, 32}, 100);
  classifier("resnet8x4", "resnet_cifar(depth=8 width=4)", {64, 3, 32, 32}, 100);
  classifier("vit_tiny", "vit(image=32 patch=4 width=192 depth=12 heads=3)", {32, 3, 32, 32}, 100);
  language_model();
  diffusion();
  distillation("step_kd_cached", true);
  distillation("step_kd_live", false);
  return 0;
}();

}  // namespace
}  // namespace retort::bench
