#include "nn/layers/norm.h"

#include "autograd/ops/arithmetic.h"

namespace retort {

Parameter norm_parameter(std::int64_t n, double value) {
  Parameter p({n}, Init::constant(value), false);
  p.master_only = true;
  return p;
}

LayerNorm::LayerNorm(std::int64_t width, double epsilon, bool affine) : eps(epsilon) {
  if (!affine) return;
  weight = norm_parameter(width, 1);
  bias = norm_parameter(width, 0);
}

Tensor LayerNorm::operator()(const Tensor& x, Ctx& ctx) const {
  if (!weight.value.defined()) return layer_norm(x, {}, {}, eps);
  return layer_norm(x, ctx(weight), ctx(bias), eps);
}

void LayerNorm::visit(Visitor& v) {
  if (!weight.value.defined()) return;
  v("weight", weight);
  v("bias", bias);
}

RmsNorm::RmsNorm(std::int64_t width, double epsilon) : weight(norm_parameter(width, 1)), eps(epsilon) {}

Tensor RmsNorm::operator()(const Tensor& x, Ctx& ctx) const { return rms_norm(x, ctx(weight), eps); }

void RmsNorm::visit(Visitor& v) { v("weight", weight); }

GroupNorm::GroupNorm(std::int64_t channels, std::int64_t group_count, double epsilon)
    : weight(norm_parameter(channels, 1)), bias(norm_parameter(channels, 0)), groups(group_count), eps(epsilon) {
  if (group_count < 1 || channels % group_count != 0)
    throw ShapeError("group_norm: {} groups do not divide {} channels", group_count, channels);
}

Tensor GroupNorm::operator()(const Tensor& x, Ctx& ctx) const {
  return group_norm(x, groups, ctx(weight), ctx(bias), eps);
}

void GroupNorm::visit(Visitor& v) {
  v("weight", weight);
  v("bias", bias);
}

BatchNorm2d::BatchNorm2d(std::int64_t channels, double epsilon, double new_weight)
    : weight(norm_parameter(channels, 1)),
      bias(norm_parameter(channels, 0)),
      running_mean(Tensor::zeros({channels})),
      running_var(Tensor::full({channels}, 1)),
      eps(epsilon),
      momentum(new_weight) {}

Tensor BatchNorm2d::operator()(const Tensor& x, Ctx& ctx) const {
  ctx.tap(*this, "in", x);
  if (!ctx.training) return batch_norm_with(x, running_mean.value, running_var.value, ctx(weight), ctx(bias), eps);
  return reported(x, batch_norm(x, ctx(weight), ctx(bias), eps), ctx);
}

Tensor BatchNorm2d::then_relu(const Tensor& x, const Tensor& residual, Ctx& ctx) const {
  return reported(x, batch_norm_relu(x, ctx(weight), ctx(bias), residual, eps), ctx);
}

Tensor BatchNorm2d::reported(const Tensor& x, const BatchNorm& norm, Ctx& ctx) const {
  if (ctx.stats) {
    const auto n = static_cast<double>(x.numel() / x.size(1));
    const double unbias = n > 1 ? n / (n - 1) : 1;
    // The report names the buffers of a module that is const here; the trainer, who owns it, applies them.
    auto& self = const_cast<BatchNorm2d&>(*this);
    ctx.stats->push_back({&self.running_mean, stop_gradient(norm.mean), momentum});
    ctx.stats->push_back({&self.running_var, stop_gradient(norm.var) * unbias, momentum});
  }
  return norm.out;
}

ChannelMap BatchNorm2d::running_map(Ctx& ctx) const {
  return batch_norm_map(running_mean.value, running_var.value, ctx(weight), ctx(bias), eps);
}

void BatchNorm2d::visit(Visitor& v) {
  v("weight", weight);
  v("bias", bias);
  v("running_mean", running_mean);
  v("running_var", running_var);
}

}  // namespace retort
