// distill/train/source_reader.h -- the sources of a method: what its preset says of them, and what the job does.
#pragma once
#include "distill/train/text_source.h"

namespace retort {

using Datasets = std::map<std::string, std::shared_ptr<const Dataset>>;

/// What sources are made from.
struct SourceSettings {
  const Datasets& sets;
  const TokenSets& texts;
  const NumberMap& numbers;
  Shape sample;  ///< of what generators make, without the batch axis
  DType dtype;
  Device device;
};

/// Fills `setup.sources` from `method.sources` (kind, role, ..) and `sources` (set, batch, ..) of a job; the section
/// `default` stands for those that have none of their own. Kinds: data (a set, or a closed form: `from`, `law`),
/// rollout, synthetic, and those of texts. Throws ConfigError at the key that is wrong.
void build_sources(Config& job, const SourceSettings& settings, Setup& setup);

}  // namespace retort
