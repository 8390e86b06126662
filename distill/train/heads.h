// distill/train/heads.h -- table `head`: modules over the taps of a role, by name.
#pragma once
#include "distill/objectives/net.h"
#include "distill/train/call.h"

namespace retort {

/// What a head is built for; shapes are without the batch axis.
struct HeadSizes {
  std::vector<Shape> from;  ///< of its inputs, what it is told of another role last
  std::vector<Shape> like;  ///< of what it must become, where the call says `like=`
  std::int64_t classes = 1;
  /// The first value of a parameter or buffer ("ROLE.PATH"), for heads that go on with a part of a fixed network.
  std::function<Tensor(const std::string& name)> value = {};
};

/// The head that `call` names, without its taps, `like` and `with`: see head_table.h and logit_heads.h. Throws
/// ConfigError naming the nearest, ShapeError when shapes do not suit.
std::unique_ptr<HeadModule> build_head(CallArgs& args, const Call& call, const HeadSizes& sizes);

}  // namespace retort
