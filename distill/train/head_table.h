// distill/train/head_table.h -- how entries of table `head` are written.
#pragma once
#include "distill/train/heads.h"

namespace retort {

using HeadTable =
    std::map<std::string, std::unique_ptr<HeadModule> (*)(CallArgs& args, const Call& call, const HeadSizes& sizes),
             std::less<>>;

/// Heads of feature methods. `like=ROLE` gives sizes tap for tap, `like=ROLE.TAP` those of one:
///   conv, conv_norm (1x1 per map), shared_linear (one for all taps), embed(dim=128) of unit length, project(dim=128),
///   ensemble(count=3), normed_linear, reuse(classifier=ROLE.PATH), variational, margin_relu(norm=ROLE.PATH),
///   review_pyramid, masked_generator(share=.65 over=positions|channels), cooperative_masks(with=ROLE.TAP masks=6),
///   shared_exits.
const HeadTable& feature_heads();
/// Heads that tell real samples from generated ones, logit > 0 for real: quadratic (of one tap, or of `in`, the state
/// itself), gan_conv (DMD2's, a logit a tap), channel_mean (no parameters).
const HeadTable& discriminator_heads();

/// Throws ConfigError unless the call has that many taps (with what it is told of another role) and shapes to match.
void expect(const Call& call, const HeadSizes& sizes, std::size_t inputs, std::size_t like);

}  // namespace retort
