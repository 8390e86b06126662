#include "nn/layers/conv_block.h"

#include <numeric>

namespace retort {

namespace {
constexpr std::pair<std::string_view, NormKind> kNorms[] = {
    {"none", NormKind::none}, {"group", NormKind::group}, {"batch", NormKind::batch}, {"instance", NormKind::instance}};
}  // namespace

NormKind norm_from_name(std::string_view name) {
  for (const auto& [known, norm] : kNorms)
    if (known == name) return norm;
  throw ConfigError("norm: unknown name {}; hint: none, group, batch or instance", name);
}

std::string_view name_of(NormKind norm) {
  for (const auto& [name, known] : kNorms)
    if (known == norm) return name;
  throw InternalError("norm: number {} has no name", static_cast<int>(norm));
}

ConvBlock::ConvBlock(std::int64_t in, std::int64_t out, const ConvBlockOptions& how)
    : conv(in, out, how.kernel, {.stride = how.stride, .padding = (how.kernel - 1) / 2, .groups = how.groups},
           how.bias || how.norm == NormKind::none),
      act(how.act) {
  conv.weight.init = Init::he_normal(conv.weight.value.shape(), gain_of(act));
  if (how.norm == NormKind::group) norm.emplace<GroupNorm>(out, std::gcd(std::int64_t{8}, out));
  if (how.norm == NormKind::instance) norm.emplace<GroupNorm>(out, out);
  if (how.norm == NormKind::batch) norm.emplace<BatchNorm2d>(out);
}

Tensor ConvBlock::fused(const Tensor& x, const Tensor& residual, Activation last, Ctx& ctx) const {
  const auto* batch = std::get_if<BatchNorm2d>(&norm);
  if (batch && ctx.wants(*batch, "in")) return {};
  if (batch && ctx.training) return last == Activation::relu ? batch->then_relu(conv(x, ctx), residual, ctx) : Tensor();
  const auto limits = interval_of(last);
  if (!limits || std::holds_alternative<GroupNorm>(norm) || ctx.wants(conv, "out")) return {};
  const Tensor weight = ctx(conv.weight), bias = conv.bias.value.defined() ? ctx(conv.bias) : Tensor();
  ConvEpilogue then{.residual = residual, .low = limits->low, .high = limits->high};
  if (batch) {
    const ChannelMap map = batch->running_map(ctx);
    then.scale = map.scale;
    then.shift = map.shift;
  }
  for (const Tensor& t : {x, weight, bias, then.scale, then.shift, residual})
    if (tracked(t)) return {};
  ctx.tap(conv, "in", x);
  return conv_block(x, weight, bias, conv.options, then);
}

Tensor ConvBlock::operator()(const Tensor& x, Ctx& ctx) const {
  if (!ctx.wants(*this, "pre_act")) {
    const Tensor y = fused(x, {}, act, ctx);
    if (y.defined()) {
      ctx.tap(*this, "out", y);
      return y;
    }
  }
  Tensor h = conv(x, ctx);
  if (const auto* group = std::get_if<GroupNorm>(&norm)) h = (*group)(h, ctx);
  if (const auto* batch = std::get_if<BatchNorm2d>(&norm)) h = (*batch)(h, ctx);
  ctx.tap(*this, "pre_act", h);
  h = activate(act, h);
  ctx.tap(*this, "out", h);
  return h;
}

void ConvBlock::visit(Visitor& v) {
  v("conv", conv);
  if (auto* group = std::get_if<GroupNorm>(&norm)) v("norm", *group);
  if (auto* batch = std::get_if<BatchNorm2d>(&norm)) v("norm", *batch);
}

void set_kernel_init(Module& m, Init (*law)(const Shape& kernel)) {
  for (const auto& [name, p] : parameters_of(m))
    if (p->value.rank() == 4) p->init = law(p->value.shape());
}

Init he_normal_of_outputs(const Shape& kernel) { return Init::normal(std::sqrt(2 / fans_of(kernel).out)); }

Init uniform_of_inputs(const Shape& weight) { return Init::uniform(1 / std::sqrt(fans_of(weight).in)); }

}  // namespace retort
