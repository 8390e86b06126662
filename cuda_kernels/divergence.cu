// cuda_kernels/divergence.cu -- instances and launchers of the divergences.
#include "cuda_kernels/divergence.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// Calls f with the terms of the kind.
template <class F>
static void visit_divergence(const Divergence& a, F&& f) {
  namespace terms = divergence_terms;
  switch (a.kind) {
    case DivergenceKind::kl_forward:
      return f(terms::KlForward<float>{});
    case DivergenceKind::kl_reverse:
      return f(terms::KlReverse<float>{});
    case DivergenceKind::js:
      return f(terms::JensenShannon<float>{a.mix});
    case DivergenceKind::jeffreys:
      return f(terms::Jeffreys<float>{});
    case DivergenceKind::tv:
      return f(terms::TotalVariation<float>{});
    case DivergenceKind::skew_forward:
      return f(terms::SkewForward<float>{a.mix});
    case DivergenceKind::skew_reverse:
      return f(terms::SkewReverse<float>{a.mix});
  }
}

static DivergenceRow row_of(const Divergence& a) {
  return {a.classes, a.student_temperature, a.teacher_temperature, a.top_k, a.select_by_student};
}

void divergence(const Divergence& a, gpu::Stream stream) {
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("divergence", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_divergence(a, [&](auto kind) {
      RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), (divergence_rows<T, decltype(kind)>),
                    static_cast<const T*>(a.student), static_cast<const T*>(a.teacher), a.loss, kind, row_of(a));
    });
  });
}

void divergence_backward(const DivergenceBackward& args, gpu::Stream stream) {
  const Divergence& a = args.forward;
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("divergence_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_divergence(a, [&](auto kind) {
      RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), (divergence_backward_rows<T, decltype(kind)>),
                    static_cast<const T*>(a.student), static_cast<const T*>(a.teacher), args.cotangent,
                    static_cast<T*>(args.gradient), kind, row_of(a));
    });
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
