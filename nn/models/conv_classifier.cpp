#include "nn/models/conv_classifier.h"

#include "autograd/ops/reduce.h"

namespace retort {

Tensor GlobalAverage::operator()(const Tensor& x, Ctx& ctx) const {
  const Tensor y = mean(x, {2, 3});
  ctx.tap(*this, "out", y);
  return y;
}

Tensor ConvClassifier::forward(const Tensor& x, Ctx& ctx) const {
  Tensor h = trunk(x, ctx);
  if (ctx.finished()) return {};
  h = features(h, ctx);
  if (ctx.finished()) return {};
  return head(dropout(h, ctx), ctx);
}

void ConvClassifier::visit(Visitor& v) {
  visit_trunk(v);
  v("features", features);
  v("dropout", dropout);
  v("head", head);
}

void set_uniform_head(Linear& head) {
  head.weight.init = Init::uniform(1 / std::sqrt(fans_of(head.weight.value.shape()).in));
  head.bias.init = head.weight.init;
}

}  // namespace retort
