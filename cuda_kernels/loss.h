// cuda_kernels/loss.h -- losses over rows of logits and their gradients: cross entropy against labels and weights.
#pragma once
#include "cuda_kernels/types.h"

namespace retort::kernels {

/// loss [rows] = -log softmax(x)[label] for logits x [rows, classes] (f32 or bf16), with label smoothing over the
/// classes above -infinity; rows of `ignore_index` have loss 0. top and log_total [rows] are kept for the backward.
struct CrossEntropy {
  Type type;
  const void* logits;
  const std::int64_t* labels;  ///< in [0, classes) or ignore_index: the caller checks
  float *loss, *top, *log_total;
  std::int64_t rows, classes;
  float smoothing = 0;
  std::int64_t ignore_index = -1;
};
RETORT_LAUNCHER(cross_entropy, CrossEntropy)

/// gradient = cotangent (p - target).
struct CrossEntropyBackward {
  Type type;
  const void* logits;
  const std::int64_t* labels;
  const float *top, *log_total, *cotangent;
  void* gradient;
  std::int64_t rows, classes;
  float smoothing = 0;
  std::int64_t ignore_index = -1;
};
RETORT_LAUNCHER(cross_entropy_backward, CrossEntropyBackward)

/// loss [rows] = -sum_c q_c log softmax(x)_c for logits x and weights q, both [rows, classes]; classes of weight 0
/// count nothing.
struct SoftCrossEntropy {
  Type type;
  const void *logits, *targets;
  float* loss;
  std::int64_t rows, classes;
};
RETORT_LAUNCHER(soft_cross_entropy, SoftCrossEntropy)

/// gradient = cotangent (p sum q - q).
struct SoftCrossEntropyBackward {
  Type type;
  const void *logits, *targets;
  const float* cotangent;
  void* gradient;
  std::int64_t rows, classes;
};
RETORT_LAUNCHER(soft_cross_entropy_backward, SoftCrossEntropyBackward)

}  // namespace retort::kernels
