// autograd/ops/divergence.cpp -- divergences between softmax(student / T_s) and softmax(teacher / T_t), per row.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_checks.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "tensor/attrs.h"

namespace retort {

namespace {
/// The same divergence with the roles of its arguments exchanged: D(s, t) = D'(t, s).
DivergenceAttrs exchanged(DivergenceAttrs d) {
  std::swap(d.student_temperature, d.teacher_temperature);
  d.mix = 1 - d.mix;
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

struct Divergence : Fused<Divergence> {
  static constexpr std::string_view name = "divergence";
  static void infer(InferCall& call) {
    loss::require_pair(call);
    call.output(loss::unit_shape(call.in[0]), loss::compute_dtype(call.in[0].dtype()));
  }
  static Tensors decompose(std::span<const Tensor> in, const AttrBox& attrs) {
    const auto& d = attrs.as<DivergenceAttrs>();
    const Tensor a = log_softmax(loss::widened(in[0]) * (1 / d.student_temperature));
    const Tensor b = log_softmax(loss::widened(in[1]) * (1 / d.teacher_temperature));
    const Tensor s = exp(a), t = exp(b);
    return {sum(per_entry(d, s, t, a, b), {-1})};
  }
  static void backward(VjpCall& c);

 private:
  static Tensor per_entry(const DivergenceAttrs& d, const Tensor& s, const Tensor& t, const Tensor& a,
                          const Tensor& b) {
    const auto forward = [&](const Tensor& log_m) { return loss::times_log(t, b - log_m); };
    const auto reverse = [&](const Tensor& log_m) { return loss::times_log(s, a - log_m); };
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
    const AttrBox attrs = AttrBox::of(exchanged(c.attrs.as<DivergenceAttrs>()));
    c.grad[1] = apply_with<DivergenceBackward>(attrs, c.in[1], c.in[0], c.cot[0]);
  }
}

REGISTER_OP(Divergence);
REGISTER_OP(DivergenceBackward);

Tensor divergence(std::string_view name, DivergenceKind kind, const Tensor& student, const Tensor& teacher, double mix,
                  Temperatures t) {
  if (!(t.student > 0 && t.teacher > 0))
    throw ValueError("{}: temperatures must be positive; got student {}, teacher {}", name, t.student, t.teacher);
  if (!(mix > 0 && mix < 1)) throw ValueError("{}: the share of a mixture lies in (0, 1); got {}", name, mix);
  return apply_with<Divergence>(AttrBox::of(DivergenceAttrs{kind, mix, t.student, t.teacher}), student, teacher);
}
}  // namespace

Tensor kl_forward(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return divergence("kl_forward", DivergenceKind::kl_forward, student, teacher, 0.5, t);
}
Tensor kl_reverse(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return divergence("kl_reverse", DivergenceKind::kl_reverse, student, teacher, 0.5, t);
}
Tensor js(const Tensor& student, const Tensor& teacher, double beta, Temperatures t) {
  if (!(beta > 0 && beta < 1))
    throw ValueError("js: beta lies in (0, 1); got {}; hint: its ends are kl_forward and kl_reverse", beta);
  return divergence("js", DivergenceKind::js, student, teacher, beta, t);
}
Tensor jeffreys(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return divergence("jeffreys", DivergenceKind::jeffreys, student, teacher, 0.5, t);
}
Tensor tv(const Tensor& student, const Tensor& teacher, Temperatures t) {
  return divergence("tv", DivergenceKind::tv, student, teacher, 0.5, t);
}
Tensor skew_forward(const Tensor& student, const Tensor& teacher, double a, Temperatures t) {
  return divergence("skew_forward", DivergenceKind::skew_forward, student, teacher, a, t);
}
Tensor skew_reverse(const Tensor& student, const Tensor& teacher, double a, Temperatures t) {
  return divergence("skew_reverse", DivergenceKind::skew_reverse, student, teacher, 1 - a, t);
}

}  // namespace retort
