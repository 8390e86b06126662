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

}  // namespace retort::kernels::RETORT_BACKEND
