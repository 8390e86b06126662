// distill/train/logit_heads.h -- heads that answer in class logits: classifiers, early exits, discriminators.
#pragma once
#include "distill/train/heads.h"

namespace retort {

/// classifier(TAP... times=1): from each tap the global average, then one linear layer to `times` classes' logits.
std::unique_ptr<HeadModule> build_classifier(CallArgs& args, const Call& call, const HeadSizes& sizes);
/// exits(TAP... like=ROLE.TAP): an ExitBranch from each tap towards the extent of `like` (of the last tap, where that
/// is no feature map) and the larger width of `like` and the last tap. Gives logits, feature, logits, feature, ...
std::unique_ptr<HeadModule> build_exits(CallArgs& args, const Call& call, const HeadSizes& sizes);

}  // namespace retort
