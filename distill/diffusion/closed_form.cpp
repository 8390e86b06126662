#include "distill/diffusion/closed_form.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// Along the principal axes or back: [n, k, d] times [k, d, d].
Tensor rotated(const Tensor& z, const Tensor& basis, bool back) {
  return squeeze(matmul(unsqueeze(z, 2), basis, false, back), 2);
}

/// [n] or 0-d -> [n, 1, 1] in the dtype of z [n, k, d].
Tensor column(const Tensor& numbers, const Tensor& z) { return per_sample(numbers, z); }
}  // namespace

/// A batch of states as every component sees it.
struct ClosedForm::Frame {
  SignalNoise<Tensor> level;  ///< [n]
  Tensor offset;              ///< [n, k, d]: x - alpha m, along the component's principal axes
  Tensor spread;              ///< [n, k, d]: S^2, the variances of the state
};

ClosedForm::ClosedForm(Tensor means, Tensor variance, Tensor log_weights)
    : means_(std::move(means)), variance_(std::move(variance)), log_weights_(std::move(log_weights)) {
  const std::int64_t k = means_.rank() == 2 ? means_.size(0) : 0;
  const Shape leading = Shape::filled(1, k);
  const bool fits = k > 0 && variance_.rank() >= 1 && variance_.rank() <= 3 && variance_.size(0) == k &&
                    (variance_.rank() < 2 || variance_.size(1) == means_.size(1)) &&
                    (variance_.rank() < 3 || variance_.size(2) == means_.size(1)) &&
                    (!log_weights_.defined() || log_weights_.shape() == leading);
  if (!fits)
    throw ShapeError("closed_form: needs means [k, d], variances [k], [k, d] or [k, d, d], weights [k]; got {}, {}, {}",
                     means_.str(), variance_.str(), log_weights_.defined() ? log_weights_.str() : "no weights");
  if (variance_.rank() == 3) {
    const Eigh axes = eigh(variance_);
    basis_ = axes.vectors;
    variance_ = axes.values;
  } else if (variance_.rank() == 1) {
    variance_ = broadcast_to(reshape(variance_, {k, 1}), means_.shape());
  }
  if (!log_weights_.defined()) log_weights_ = Tensor::zeros(leading, means_.dtype(), means_.device());
  log_weights_ = log_softmax(log_weights_, 0);
}

ClosedForm::Frame ClosedForm::frame(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule) const {
  if (x.rank() < 1 || x.numel() != x.size(0) * means_.size(1))
    throw ShapeError("closed_form: samples have {} elements; got {}", means_.size(1), x.str());
  Frame f{schedule.at(t), {}, {}};
  const Tensor rows = reshape(x, {x.size(0), 1, means_.size(1)});
  f.offset = rows - column(f.level.signal, rows) * means_;
  if (basis_.defined()) f.offset = rotated(f.offset, basis_, false);
  f.spread = column(square(f.level.signal), rows) * variance_ + column(square(f.level.noise), rows);
  return f;
}

/// log(weight_c N(x; component c)) where the condition allows component c, -infinity where not: [n, k].
Tensor ClosedForm::log_joint(const Frame& f, const Tensor& label) const {
  const Tensor log_normal = sum(square(f.offset) / f.spread + log(f.spread * (2 * std::numbers::pi)), {2}) * -.5;
  if (!label.defined()) return log_weights_ + log_normal;
  const std::int64_t k = components();
  const Tensor at = on_host(label), last = Tensor::scalar(static_cast<double>(k), DType::i64, at.device());
  const Tensor named = to(slice(one_hot(at, k + 1, DType::boolean), 1, 0, k), log_normal.device());
  const Tensor null = to(reshape(equal(at, last), {-1, 1}), log_normal.device());
  const Tensor never = scalar_like(log_normal, -INFINITY);
  return where(null, log_weights_ + log_normal, where(named, log_normal, never));
}

/// Sum over components of share [n, k] times [n, k, d], in x's shape.
Tensor ClosedForm::mixed(const Tensor& share, const Tensor& per_component, const Tensor& x) const {
  return reshape(sum(unsqueeze(share, 2) * per_component, {1}), x.shape());
}

Tensor ClosedForm::predict(Space space, const Tensor& x, const Tensor& t, const NoiseSchedule& schedule,
                           const Tensor& label) const {
  const Frame f = frame(x, t, schedule);
  Tensor toward_mean = f.offset / f.spread, toward_data = variance_ * toward_mean;
  if (basis_.defined()) {
    toward_mean = rotated(toward_mean, basis_, true);
    toward_data = rotated(toward_data, basis_, true);
  }
  const Tensor share = softmax(log_joint(f, label), 1);
  const Tensor score = -mixed(share, toward_mean, x);
  if (space == Space::score) return score;
  const Tensor x0 = mixed(share, means_ + column(f.level.signal, f.offset) * toward_data, x);
  return compose(space, x0, -(per_sample(f.level.noise, x) * score), t, schedule);
}

Tensor ClosedForm::log_density(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule,
                               const Tensor& label) const {
  return logsumexp(log_joint(frame(x, t, schedule), label), {1});
}

Tensor ClosedForm::responsibilities(const Tensor& x, const Tensor& t, const NoiseSchedule& schedule,
                                    const Tensor& label) const {
  return softmax(log_joint(frame(x, t, schedule), label), 1);
}

void ClosedForm::require_one_component(const Tensor& x, const Tensor& label) const {
  const std::int64_t k = components();
  if (k == 1 || x.meta()) return;
  const std::vector<std::int64_t> labels = label.defined() ? to(label, kCpu).values<std::int64_t>() : std::vector{k};
  for (const std::int64_t c : labels)
    if (c == k) throw ValueError("closed_form: the flow of a mixture of {} has no closed form; give labels", k);
}

Tensor ClosedForm::flow_map(const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule,
                            const Tensor& label) const {
  require_one_component(x, label);
  const Frame f = frame(x, t, schedule);
  const SignalNoise<Tensor> end = schedule.at(s);
  const Tensor spread = column(square(end.signal), f.offset) * variance_ + column(square(end.noise), f.offset);
  Tensor moved = f.offset * sqrt(spread / f.spread);
  if (basis_.defined()) moved = rotated(moved, basis_, true);
  const Tensor share = softmax(log_joint(f, label), 1);
  return mixed(share, column(end.signal, moved) * means_ + moved, x);
}

Tensor ClosedForm::clean_of_flow(const Tensor& x, const Tensor& t, const Tensor& s, const NoiseSchedule& schedule,
                                 const Tensor& label) const {
  require_one_component(x, label);
  const Frame f = frame(x, t, schedule);
  const SignalNoise<Tensor> end = schedule.at(s);
  const Tensor alpha = column(f.level.signal, f.offset), sigma = column(f.level.noise, f.offset);
  const Tensor alpha_s = column(end.signal, f.offset), sigma_s = column(end.noise, f.offset);
  const Tensor far = sqrt(f.spread), near = sqrt(square(alpha_s) * variance_ + square(sigma_s));
  const Tensor pure = less_equal(alpha_s, scalar_like(alpha_s, 0)), one = scalar_like(alpha_s, 1);
  const Tensor kept = where(pure, one, alpha / where(pure, one, alpha_s));
  // With y = x / alpha and tau = sigma / alpha, y_s - m = (R_s / R_t) (y_t - m), R^2 = variance + tau^2: the line from
  // y_t through y_s meets tau = 0 there, written without dividing by alpha_t, t - s or, at s = t, alpha_s.
  const Tensor lift = alpha + (kept * alpha * square(near) + alpha_s * square(sigma)) / (far * near + sigma * sigma_s);
  Tensor toward_data = f.offset * variance_ * lift / (far * (far + kept * near));
  if (basis_.defined()) toward_data = rotated(toward_data, basis_, true);
  return mixed(softmax(log_joint(f, label), 1), means_ + toward_data, x);
}

ClosedForm gaussian_teacher(const Tensor& mean, const Tensor& variance) {
  if (mean.rank() != 1) return ClosedForm(mean, variance);
  return ClosedForm(unsqueeze(mean, 0), unsqueeze(variance, 0));
}

ClosedForm gaussian_teacher(const Tensor& mean, double variance) {
  return gaussian_teacher(mean, Tensor::full(mean.shape(), variance, mean.dtype(), mean.device()));
}

ClosedForm empirical_teacher(const Tensor& data, const Tensor& weights) {
  const Tensor rows = reshape(data, {data.size(0), -1});
  const Tensor none = Tensor::zeros({data.size(0)}, rows.dtype(), rows.device());
  return ClosedForm(rows, none, weights.defined() ? log(weights) : Tensor());
}

}  // namespace retort
