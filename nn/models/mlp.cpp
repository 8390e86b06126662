#include "nn/models/mlp.h"

#include "autograd/ops/shape.h"

namespace retort {

MlpNet::Layer::Layer(std::int64_t in, std::int64_t out, Activation activation, double p)
    : linear(in, out), act(activation), dropout(p) {
  linear.weight.init = Init::he_normal({out, in}, gain_of(act));
}

Tensor MlpNet::Layer::operator()(const Tensor& x, Ctx& ctx) const {
  ctx.tap(*this, "in", x);
  const Tensor h = linear(x, ctx);
  ctx.tap(*this, "pre_act", h);
  const Tensor y = activate(act, h);
  ctx.tap(*this, "out", y);
  return dropout(y, ctx);
}

void MlpNet::Layer::visit(Visitor& v) {
  v("linear", linear);
  v("dropout", dropout);
}

MlpNet::MlpNet(const MlpConfig& how) : config(how), head(how.widths.empty() ? how.in : how.widths.back(), how.classes) {
  std::int64_t in = how.in;
  for (const int width : how.widths) {
    layers.emplace_back(in, width, how.act, how.dropout);
    in = width;
  }
  name_modules(*this);
}

Tensor MlpNet::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = reshape(x, {x.size(0), config.in});
  for (const Layer& layer : layers) {
    h = layer(h, ctx);
    if (ctx.finished()) return {};
  }
  return head(h, ctx);
}

std::string MlpNet::arch() const {
  return fmt::format("mlp(in={} classes={} widths={} act={} dropout={})", config.in, config.classes,
                     widths_text(config.widths), name_of(config.act), config.dropout);
}

void MlpNet::visit(Visitor& v) {
  v("layers", layers);
  v("head", head);
}

}  // namespace retort
