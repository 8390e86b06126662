// distill/train/evaluate.h -- accuracy of a role over a whole data set, and the samples a report shows.
#pragma once
#include <vector>

#include "distill/data/sequential.h"
#include "distill/objectives/net.h"

namespace retort {

struct Evaluation {
  std::int64_t samples = 0;
  double top1 = 0;           ///< share of samples whose largest logit is the label, in [0, 1]
  double cross_entropy = 0;  ///< mean, nats
};

/// What is evaluated on: a whole set, in order, without augmentation.
struct EvalData {
  std::shared_ptr<const Dataset> set;
  std::int64_t batch = 500;
  DType dtype = DType::f32;
};

/// Runs the role over every sample in inference mode. On the meta device only the shapes of one batch run.
Evaluation evaluate(const Role& role, const EvalData& data, Device device);

struct Answer {
  int label = 0;
  double probability = 0;
};
/// The most probable class of each of the given samples.
std::vector<Answer> answers_of(const Role& role, const EvalData& data, const std::vector<std::int64_t>& indices);

}  // namespace retort
