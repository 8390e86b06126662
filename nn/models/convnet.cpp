#include "nn/models/convnet.h"

#include <numeric>

#include "autograd/ops/pool.h"
#include "autograd/ops/reduce.h"
#include "nn/checkpoint.h"

namespace retort {

namespace {
constexpr std::pair<std::string_view, NormKind> kNorms[] = {
    {"none", NormKind::none}, {"group", NormKind::group}, {"batch", NormKind::batch}};

const ConvNetConfig& checked(const ConvNetConfig& config) {
  if (config.widths.empty() || config.depth < 1)
    throw ConfigError("convnet: needs at least one width and a depth of 1; got widths {} and depth {}",
                      widths_text(config.widths), config.depth);
  return config;
}
}  // namespace

NormKind norm_from_name(std::string_view name) {
  for (const auto& [known, norm] : kNorms)
    if (known == name) return norm;
  throw ConfigError("norm: unknown name {}; hint: none, group or batch", name);
}

std::string_view name_of(NormKind norm) {
  for (const auto& [name, known] : kNorms)
    if (known == norm) return name;
  throw InternalError("norm: number {} has no name", static_cast<int>(norm));
}

ConvBlock::ConvBlock(std::int64_t in, std::int64_t out, NormKind norm_kind, Activation activation)
    : conv(in, out, 3, {.padding = 1}, norm_kind == NormKind::none), act(activation) {
  conv.weight.init = Init::he_normal(conv.weight.value.shape(), gain_of(act));
  if (norm_kind == NormKind::group) norm.emplace<GroupNorm>(out, std::gcd(std::int64_t{8}, out));
  if (norm_kind == NormKind::batch) norm.emplace<BatchNorm2d>(out);
}

Tensor ConvBlock::operator()(const Tensor& x, Ctx& ctx) const {
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

ConvStage::ConvStage(std::int64_t in, std::int64_t out, bool first, const ConvNetConfig& config) : pool(!first) {
  const int depth = first && config.stem > 0 ? config.stem : config.depth;
  for (int i = 0; i < depth; ++i) blocks.emplace_back(i == 0 ? in : out, out, config.norm, config.act);
}

Tensor ConvStage::operator()(const Tensor& x, Ctx& ctx) const {
  Tensor h = pool ? max_pool2d(x) : x;
  for (const ConvBlock& block : blocks) {
    h = block(h, ctx);
    if (ctx.finished()) return {};
  }
  ctx.tap(*this, "out", h);
  return h;
}

void ConvStage::visit(Visitor& v) { v("blocks", blocks); }

Tensor GlobalAverage::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor y = mean(x, {2, 3});
  ctx.tap(*this, "out", y);
  return y;
}

ConvNet::ConvNet(const ConvNetConfig& how)
    : config(checked(how)), dropout(how.dropout), head(how.widths.back(), how.classes) {
  std::int64_t in = how.in_channels;
  for (const int width : how.widths) {
    stages.emplace_back(in, width, stages.empty(), how);
    in = width;
  }
  name_modules(*this);
}

Tensor ConvNet::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = x;
  for (const ConvStage& stage : stages) {
    h = ctx.recompute ? checkpoint(stage, h, ctx) : stage(h, ctx);
    if (ctx.finished()) return {};
  }
  h = features(h, ctx);
  if (ctx.finished()) return {};
  return head(dropout(h, ctx), ctx);
}

std::string ConvNet::arch() const {
  return fmt::format("convnet(in={} classes={} widths={} depth={} stem={} norm={} act={} dropout={})",
                     config.in_channels, config.classes, widths_text(config.widths), config.depth, config.stem,
                     name_of(config.norm), name_of(config.act), config.dropout);
}

void ConvNet::visit(Visitor& v) {
  v("stages", stages);
  v("features", features);
  v("dropout", dropout);
  v("head", head);
}

}  // namespace retort
