// autograd/ops/divergence.cpp -- divergences between softmax(student / T_s) and softmax(teacher / T_t), per row.
#include <cmath>

#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss_checks.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "tensor/attrs.h"

namespace retort {

namespace loss {
DivergenceAttrs exchanged(DivergenceAttrs d) {
  std::swap(d.student_temperature, d.teacher_temperature);
  d.mix = 1 - d.mix;
  d.select_by_student = !d.select_by_student;
  switch (d.kind) {
    case DivergenceKind::kl_forward:
      d.kind = DivergenceKind::kl_reverse;
      break;
    case DivergenceKind::kl_reverse:
      d.kind = DivergenceKind::kl_forward;
      break;
    case DivergenceKind::skew_forward:
      d.kind = DivergenceKind::skew_reverse;
      break;
    case DivergenceKind::skew_reverse:
      d.kind = DivergenceKind::skew_forward;
      break;
    case DivergenceKind::js:
    case DivergenceKind::jeffreys:
    case DivergenceKind::tv:
      break;
  }
  return d;
}

void check(std::string_view name, const DivergenceAttrs& d) {
  if (!(d.student_temperature > 0 && d.teacher_temperature > 0))
    throw ValueError("{}: temperatures must be positive; got student {}, teacher {}", name, d.student_temperature,
                     d.teacher_temperature);
  if (!(d.mix > 0 && d.mix < 1)) throw ValueError("{}: the share of a mixture lies in (0, 1); got {}", name, d.mix);
  if (d.top_k < 0) throw ValueError("{}: top_k is positive, or 0 for all outcomes; got {}", name, d.top_k);
}

void check_outcomes(const InferCall& call, std::int64_t classes) {
  const std::int64_t k = call.attrs.as<DivergenceAttrs>().top_k;
  if (k >= classes)
    throw ShapeError("{}: top_k must leave some of the {} classes as the tail; got {}", call.name, classes, k);
}

namespace {
/// log-probabilities of the k likeliest outcomes by `selector` and of all others together, [..., C] -> [..., k + 1].
Tensor merged(const Tensor& log_p, const Tensor& selector, std::int64_t k) {
  const Tensor none = scalar_like(log_p, -INFINITY);
  Tensor left = stop_gradient(selector), rest = log_p;
  Tensors parts;
  for (std::int64_t i = 0; i < k; ++i) {
    const Tensor at = unsqueeze(argmax(left, -1), -1);
    const Tensor hit = equal(arange(log_p.size(-1), DType::i64, log_p.device()), at);
    parts.push_back(gather(log_p, -1, at));
    left = where(hit, scalar_like(left, -INFINITY), left);
    rest = where(hit, none, rest);
  }
  parts.push_back(logsumexp(rest, {-1}, true));
  return concat(parts, -1);
}

Tensor per_entry(const DivergenceAttrs& d, const Tensor& a, const Tensor& b) {
  const Tensor s = exp(a), t = exp(b);
  const auto forward = [&](const Tensor& log_m) { return times_log(t, b - log_m); };
  const auto reverse = [&](const Tensor& log_m) { return times_log(s, a - log_m); };
  const auto mixture = [&] {
    const Tensor m = t * d.mix + s * (1 - d.mix);
    return log(where(equal(m, scalar_like(m, 0)), scalar_like(m, 1), m));
  };
  switch (d.kind) {
    case DivergenceKind::kl_forward:
      return forward(a);
    case DivergenceKind::kl_reverse:
      return reverse(b);
    case DivergenceKind::js: {
      const Tensor log_m = mixture();
      return forward(log_m) * d.mix + reverse(log_m) * (1 - d.mix);
    }
    case DivergenceKind::jeffreys:
      return forward(a) + reverse(b);
    case DivergenceKind::tv:
      return abs(s - t) * 0.5;
    case DivergenceKind::skew_forward:
      return forward(mixture());
    case DivergenceKind::skew_reverse:
      return reverse(mixture());
  }
  throw InternalError("divergence: unknown kind {}", static_cast<int>(d.kind));
}
}  // namespace

Tensor divergence_of(const DivergenceAttrs& d, const Tensor& student, const Tensor& teacher) {
  Tensor a = log_softmax(widened(student) * (1 / d.student_temperature));
  Tensor b = log_softmax(widened(teacher) * (1 / d.teacher_temperature));
  if (d.top_k > 0) {
    const Tensor selector = d.select_by_student ? a : b;
    a = merged(a, selector, d.top_k);
    b = merged(b, selector, d.top_k);
  }
  return sum(per_entry(d, a, b), {-1});
}
}  // namespace loss

namespace {
struct Divergence : Fused<Divergence> {
  static constexpr std::string_view name = "divergence";
  static void infer(InferCall& call) {
    loss::require_pair(call);
    loss::check_outcomes(call, call.in[0].shape().back());
    call.output(loss::unit_shape(call.in[0]), loss::compute_dtype(call.in[0].dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    return {loss::divergence_of(attrs.as<DivergenceAttrs>(), in[0], in[1])};
  }
  static void backward(VjpCall& c);
};

/// Gradient with respect to the student's logits: cot / T_s s (g - <s, g>), g = dD/ds.
struct DivergenceBackward : FusedBackward<DivergenceBackward, Divergence> {
  static constexpr std::string_view name = "divergence_backward";
  static constexpr int extra = 0;
  static std::uint32_t inputs() { return 1; }
  static void infer(InferCall& call) { call.output(call.in[0].shape(), call.in[0].dtype(), infer::like(call.in[0])); }
};

void Divergence::backward(VjpCall& c) {
  if (c.wants[0]) c.grad[0] = apply_with<DivergenceBackward>(c.attrs, c.in[0], c.in[1], c.cot[0]);
  if (c.wants[1]) {
    const AttrBox attrs = AttrBox::of(loss::exchanged(c.attrs.as<DivergenceAttrs>()));
    c.grad[1] = apply_with<DivergenceBackward>(attrs, c.in[1], c.in[0], c.cot[0]);
  }
}

REGISTER_OP(Divergence);
REGISTER_OP(DivergenceBackward);

Tensor named_divergence(std::string_view name, DivergenceKind kind, const Tensor& student, const Tensor& teacher,
                        double mix, Temperatures t) {
  const DivergenceAttrs d{kind, mix, t.student, t.teacher};
  loss::check(name, d);
  return apply_with<Divergence>(AttrBox::of(d), student, teacher);
}
}  // namespace

Tensor divergence(const DivergenceAttrs& d, const Tensor& student, const Tensor& teacher) {
  loss::check("divergence", d);
  return apply_with<Divergence>(AttrBox::of(d), student, teacher);
}
Tensor kl_forward(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return named_divergence("kl_forward", DivergenceKind::kl_forward, student, teacher, 0.5, t);
}
Tensor kl_reverse(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return named_divergence("kl_reverse", DivergenceKind::kl_reverse, student, teacher, 0.5, t);
}
Tensor js(const Tensor& student, const Tensor& teacher, double beta, Temperatures t) {
  if (!(beta > 0 && beta < 1))
    throw ValueError("js: beta lies in (0, 1); got {}; hint: its ends are kl_forward and kl_reverse", beta);
  return named_divergence("js", DivergenceKind::js, student, teacher, beta, t);
}
Tensor jeffreys(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return named_divergence("jeffreys", DivergenceKind::jeffreys, student, teacher, 0.5, t);
}
Tensor tv(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return named_divergence("tv", DivergenceKind::tv, student, teacher, 0.5, t);
}
Tensor skew_forward(const Tensor& student, const Tensor& teacher, double a, Temperatures t) {
  return named_divergence("skew_forward", DivergenceKind::skew_forward, student, teacher, a, t);
}
Tensor skew_reverse(const Tensor& student, const Tensor& teacher, double a, Temperatures t) {
  return named_divergence("skew_reverse", DivergenceKind::skew_reverse, student, teacher, 1 - a, t);
}

}  // namespace retort
