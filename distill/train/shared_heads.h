// distill/train/shared_heads.h -- heads that also see what other roles answer: discriminators, prototypes, norms.
#pragma once
#include "distill/train/heads.h"

namespace retort {

/// discriminator(out with=all(ROLE.out ..) reverse=false): three linear layers C -> C/8 -> C/64 -> 2 (at least 2 wide),
/// each with ReLU, the last one too, on the role's logits and on the mean of the others' (MEAL V2, Shen and Savvides
/// 2020). Gives both answers. With `reverse` the gradient into the role's logits, and nothing else, changes its sign.
std::unique_ptr<HeadModule> build_discriminator(CallArgs& args, const Call& call, const HeadSizes& sizes);
/// prototypes(TAP with=ROLE.TAP count=8): a bank M of vectors in the other's width d. From features S (projected by a
/// 1x1 convolution) and the other's F gives softmax(F M' / sqrt(d)) M, S + W softmax(S M' / sqrt(d)) M and logits of
/// the latter (ProC-KD, Li et al. 2022).
std::unique_ptr<HeadModule> build_prototypes(CallArgs& args, const Call& call, const HeadSizes& sizes);

/// fixed_norm(TAP... norm=ROLE.PATH): the layer norm found there, as it is at the start, over the last axis of each
/// tap.
std::unique_ptr<HeadModule> build_fixed_norm(CallArgs& args, const Call& call, const HeadSizes& sizes);

}  // namespace retort
