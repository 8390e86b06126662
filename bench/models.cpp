// bench/models.cpp -- whole steps: training (forward, backward, AdamW, running statistics), evaluation, distillation.
#include "distill/train/models.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/conv.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "bench/case.h"
#include "nn/grad_accumulator.h"
#include "nn/optim/adam.h"
#include "tensor/random.h"

namespace retort::bench {
namespace {

constexpr const char* kStudent = "convnet(widths=20x40x72 depth=1 norm=batch act=relu)";
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

/// A model that is trained: one call of `step` is forward, backward, update and running statistics.
class Training {
 public:
  explicit Training(std::unique_ptr<Model> model)
      : model_(std::move(model)), optimizer_({.weight_decay = 0.01}), gradients_(parameters_of(*model_)) {}

  template <class Loss>
  double step(const Tensor& x, Loss&& loss_of) {
    Tape tape;
    Leaves leaves(tape);
    std::vector<StatUpdate> stats;
    Ctx ctx;
    ctx.training = true;
    ctx.leaves = &leaves;
    ctx.stats = &stats;
    ctx.step = step_++;
    const Tensor loss = loss_of((*model_)(x, ctx));
    const Tensor one = Tensor::scalar(1);
    gradients_.zero();
    gradients_.attach(leaves);
    tape.backward(std::span(&loss, 1), std::span(&one, 1), gradients_);
    optimizer_.step(gradients_.parameters(), gradients_.grads(), 1e-3);
    apply_statistics(stats);
    return loss.unlifted().item();
  }

 private:
  std::unique_ptr<Model> model_;
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
    const auto training = std::make_shared<Training>(model_of(arch, shape, classes));
    const Tensor x = images(shape), y = labels(shape[0], classes);
    return [=] { return training->step(x, [&](const Tensor& logits) { return mean(cross_entropy(logits, y)); }); };
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
    const auto training = std::make_shared<Training>(model_of(kStudent, shape, 10));
    const std::shared_ptr<Model> teacher = model_of(kTeacher, shape, 10);
    const Tensor x = images(shape), y = labels(128, 10), answers = logits_of(*teacher, x);
    return [=] {
      const Tensor t = cached ? answers : logits_of(*teacher, x);
      return training->step(x, [&](const Tensor& logits) {
        const Tensor kd = mean(kl_forward(logits, t, {4, 4}));
        return add(mean(cross_entropy(logits, y)) * 0.1, kd * (0.9 * 16));
      });
    };
  });
}

const int registered = [] {
  Register("warm_up", [] {
    const auto training = std::make_shared<Training>(model_of("convnet(widths=8 depth=1)", {2, 3, 8, 8}, 4));
    const Tensor x = images({2, 3, 8, 8}), y = labels(2, 4);
    return [=] { return training->step(x, [&](const Tensor& logits) { return mean(cross_entropy(logits, y)); }); };
  });
  classifier("student", kStudent, {128, 1, 28, 28}, 10);
  classifier("resnet20", "resnet_cifar(depth=20)", {64, 3, 32, 32}, 100);
  classifier("resnet8x4", "resnet_cifar(depth=8 width=4)", {64, 3, 32, 32}, 100);
  distillation("step_kd_cached", true);
  distillation("step_kd_live", false);
  return 0;
}();

}  // namespace
}  // namespace retort::bench
