// distill/data/normalization.h -- the normalisation of images as job files write it.
#pragma once
#include "distill/data/dataset.h"
#include "distill/train/config.h"

namespace retort {

/// `{mean: .2860, std: [.3, .3, .3]}`: one number a channel, or one for all of them; keys that are absent are those of
/// `usual`, which also says how many channels there are. Throws ConfigError at the key.
Normalization parse_normalization(Config& section, const Normalization& usual);

}  // namespace retort
