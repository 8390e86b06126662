// cuda_kernels/loss.cu -- instances and launchers of the losses.
#include "cuda_kernels/loss.cuh"

namespace retort::kernels::RETORT_BACKEND {

void cross_entropy(const CrossEntropy& a, gpu::Stream stream) {
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("cross_entropy", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), cross_entropy_rows<T>, static_cast<const T*>(a.logits),
                  a.labels, a.loss, a.top, a.log_total, a.classes, a.smoothing, a.ignore_index);
  });
}

void cross_entropy_backward(const CrossEntropyBackward& a, gpu::Stream stream) {
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("cross_entropy_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), cross_entropy_backward_rows<T>, static_cast<const T*>(a.logits),
                  a.labels, a.top, a.log_total, a.cotangent, static_cast<T*>(a.gradient), a.classes, a.smoothing,
                  a.ignore_index);
  });
}

void soft_cross_entropy(const SoftCrossEntropy& a, gpu::Stream stream) {
  if (a.rows == 0) return;
  visit_training("soft_cross_entropy", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), soft_cross_entropy_rows<T>, static_cast<const T*>(a.logits),
                  static_cast<const T*>(a.targets), a.loss, a.classes);
  });
}

void soft_cross_entropy_backward(const SoftCrossEntropyBackward& a, gpu::Stream stream) {
  if (a.rows == 0) return;
  visit_training("soft_cross_entropy_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, row_shape(a.rows, a.classes), soft_cross_entropy_backward_rows<T>,
                  static_cast<const T*>(a.logits), static_cast<const T*>(a.targets), a.cotangent,
                  static_cast<T*>(a.gradient), a.classes);
  });
}

void kl(const Kl& a, gpu::Stream stream) {
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("kl", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const student = static_cast<const T*>(a.student), *const teacher = static_cast<const T*>(a.teacher);
    const gpu::LaunchShape shape = row_shape(a.rows, a.classes);
    if (a.reverse)
      RETORT_LAUNCH(stream, shape, (kl_rows<T, true>), student, teacher, a.loss, a.classes, a.student_temperature,
                    a.teacher_temperature);
    else
      RETORT_LAUNCH(stream, shape, (kl_rows<T, false>), student, teacher, a.loss, a.classes, a.student_temperature,
                    a.teacher_temperature);
  });
}

void kl_backward(const KlBackward& args, gpu::Stream stream) {
  const Kl& a = args.forward;
  if (a.rows == 0 || a.classes == 0) return;
  visit_training("kl_backward", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T *const student = static_cast<const T*>(a.student), *const teacher = static_cast<const T*>(a.teacher);
    T* const gradient = static_cast<T*>(args.gradient);
    const gpu::LaunchShape shape = row_shape(a.rows, a.classes);
    if (a.reverse)
      RETORT_LAUNCH(stream, shape, (kl_backward_rows<T, true>), student, teacher, args.cotangent, gradient, a.classes,
                    a.student_temperature, a.teacher_temperature);
    else
      RETORT_LAUNCH(stream, shape, (kl_backward_rows<T, false>), student, teacher, args.cotangent, gradient, a.classes,
                    a.student_temperature, a.teacher_temperature);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
