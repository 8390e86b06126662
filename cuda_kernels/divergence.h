// cuda_kernels/divergence.h -- divergences between the distributions of two rows of logits, and their gradients.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

enum class DivergenceKind : std::uint8_t { kl_forward, kl_reverse, js, jeffreys, tv, skew_forward, skew_reverse };

/// loss [rows] = D(s, t) of s = softmax(student / T_s), t = softmax(teacher / T_t), logits [rows, classes] in f32 or
/// bf16; `mix` is the teacher's share of the mixture where the kind has one. With top_k = k > 0 the k likeliest
/// outcomes of the teacher, or of the student, stay apart and all others count as one; ties go to the lower index.
struct Divergence {
  Type type;
  const void *student, *teacher;
  float* loss;
  std::int64_t rows, classes;
  DivergenceKind kind;
  float mix = 0.5f, student_temperature = 1, teacher_temperature = 1;
  std::int64_t top_k = 0;
  bool select_by_student = false;
};
RETORT_LAUNCHER(divergence, Divergence)

/// gradient [rows, classes] = cotangent dD / dstudent; it may take the student's logits' place.
struct DivergenceBackward {
  Divergence forward;  ///< its loss is not read
  const float* cotangent;
  void* gradient;
};
RETORT_LAUNCHER(divergence_backward, DivergenceBackward)

}  // namespace retort::kernels
