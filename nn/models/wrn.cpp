#include "nn/models/wrn.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"

namespace retort {

namespace {
const WrnConfig& checked(const WrnConfig& config) {
  if (config.depth < 10 || (config.depth - 4) % 6 != 0)
    throw ConfigError("wrn: depth is 6 n + 4 (16, 22, 28, 40); got {}", config.depth);
  return config;
}
}  // namespace

Tensor NormRelu::operator()(const Tensor& x, Ctx& ctx) const {
  Tensor y;
  if (ctx.training && !ctx.wants(*this, "pre_act")) {
    y = norm.then_relu(x, {}, ctx);
  } else {
    const Tensor h = norm(x, ctx);
    ctx.tap(*this, "pre_act", h);
    y = relu(h);
  }
  ctx.tap(*this, "out", y);
  return y;
}

PreActResidual::PreActResidual(std::int64_t in, std::int64_t out, std::int64_t stride, double p)
    : act1(in),
      act2(out),
      conv1(in, out, 3, {.stride = stride, .padding = 1}, false),
      conv2(out, out, 3, {.padding = 1}, false),
      dropout(p) {
  if (in != out) shortcut.emplace(in, out, 1, ConvOptions{.stride = stride}, false);
}

Tensor PreActResidual::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor a = act1(x, ctx);
  const Tensor branch = conv2(dropout(act2(conv1(a, ctx), ctx), ctx), ctx);
  const Tensor y = (shortcut ? (*shortcut)(a, ctx) : x) + branch;
  ctx.tap(*this, "out", y);
  return y;
}

void PreActResidual::visit(Visitor& v) {
  v("act1", act1);
  v("conv1", conv1);
  v("act2", act2);
  v("dropout", dropout);
  v("conv2", conv2);
  if (shortcut) v("shortcut", *shortcut);
}

WideResNet::WideResNet(const WrnConfig& how)
    : ConvClassifier(64 * checked(how).width, how.classes),
      config(how),
      stem(how.in_channels, 16, 3, {.padding = 1}, false),
      act(64 * how.width) {
  std::int64_t in = 16, stride = 1;
  for (const int width : {16, 32, 64}) {
    const std::int64_t out = std::int64_t{width} * how.width;
    auto& blocks = stages.emplace_back().blocks;
    for (int i = 0; i < (how.depth - 4) / 6; ++i) {
      blocks.emplace_back(in, out, i == 0 ? stride : 1, how.dropout);
      in = out;
    }
    stride = 2;
  }
  set_kernel_init(*this, he_normal_of_outputs);
  set_uniform_head(head);
  head.bias.init = Init::constant(0);
  name_modules(*this);
}

Tensor WideResNet::trunk(const Tensor& x, Ctx& ctx) const {
  const TapAlias first(ctx, {stages[0].path(), "pre_act"}, {stages[1].blocks[0].act1.path(), "pre_act"});
  const TapAlias second(ctx, {stages[1].path(), "pre_act"}, {stages[2].blocks[0].act1.path(), "pre_act"});
  const TapAlias third(ctx, {stages[2].path(), "pre_act"}, {act.path(), "pre_act"});
  Tensor h = stem(x, ctx);
  if (ctx.finished()) return {};
  const Tensor y = through(stages, std::move(h), ctx);
  return y.defined() ? act(y, ctx) : y;
}

void WideResNet::visit_trunk(Visitor& v) {
  v("stem", stem);
  v("stages", stages);
  v("act", act);
}

std::string WideResNet::arch() const {
  return fmt::format("wrn(in={} classes={} depth={} width={} dropout={})", config.in_channels, config.classes,
                     config.depth, config.width, config.dropout);
}

}  // namespace retort
