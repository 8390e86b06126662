// distill/train/evaluate.h -- accuracy of a role over a whole data set, and the samples a report shows.
#pragma once
#include <limits>
#include <optional>
#include <vector>

#include "distill/data/sequential.h"
#include "distill/objectives/net.h"

namespace retort {

class Communicator;

/// What a role wrote behind a prompt, spelt out.
struct Continuation {
  std::string prompt, text;
};

/// What a language model is judged by beside cross-entropy; see distill/train/text_evaluate.h.
struct TextScores {
  double bits_per_byte = std::numeric_limits<double>::quiet_NaN();  ///< NaN where tokens are no bytes
  std::optional<double> kl_forward, kl_reverse;  ///< KL(teacher || role) and KL(role || teacher), nats a token
  std::optional<double> own_log_prob,
      teacher_log_prob;  ///< of its own samples, mean a token: its own and the teacher's
  std::vector<Continuation> shown;
};

struct Evaluation {
  std::int64_t samples = 0;             ///< images, or tokens
  double top1 = 0;                      ///< share of samples whose largest logit is the label, in [0, 1]
  double cross_entropy = 0;             ///< mean, nats
  std::optional<TextScores> text = {};  ///< of a language model
};

/// What is evaluated on: a whole set of images, in order, without augmentation.
struct EvalData {
  std::shared_ptr<const Dataset> set;
  std::int64_t batch = 500;
  DType dtype = DType::f32;
};

/// What an evaluation of `role` writes to metrics.jsonl: acc/top1/ROLE, eval/ce/ROLE, and of a language model also
/// ppl/ROLE, eval/bpb/ROLE, kl/forward/ROLE, kl/reverse/ROLE, own/log_prob/ROLE, own/teacher_log_prob/ROLE.
std::vector<std::pair<std::string, double>> metrics_of(const std::string& role, const Evaluation& e);

/// Runs the role over every sample in inference mode; ranks share the batches, and all get the same. On the meta device
/// only the shapes of one batch run.
Evaluation evaluate(const Role& role, const EvalData& data, Device device, Communicator* ranks = nullptr);

struct Answer {
  int label = 0;
  double probability = 0;
};
/// The most probable class of each of the given samples.
std::vector<Answer> answers_of(const Role& role, const EvalData& data, const std::vector<std::int64_t>& indices,
                               Device device);

}  // namespace retort
