// nn/buckets.h -- parameters as flat rows that travel between ranks, and the shares of those rows that ranks have.
#pragma once
#include <span>
#include <vector>

#include "nn/module.h"

namespace retort {

/// Parameters of one dtype, one after the other, each in order of memory.
struct Bucket {
  std::vector<std::size_t> parameters;
  DType dtype{};
  std::int64_t count = 0;  ///< of elements
};

/// From the last parameter to the first, as backward walks finish them: the first two buckets of up to 1 MiB, so that
/// something is on its way early, the others of 25 MiB; a larger tensor is alone in one.
std::vector<Bucket> plan_buckets(std::span<const NamedParameter> parameters);

/// Elements [begin, end) of a parameter, in order of memory; they begin at element `at` of a share.
struct Stretch {
  std::size_t parameter;
  std::int64_t begin, end, at;
};

/// Elements of a share: all ranks' are of one length, though the last ones may end early.
inline std::int64_t share_of(const Bucket& bucket, int ranks) { return (bucket.count + ranks - 1) / ranks; }
/// What lies in share `rank` of `ranks`: at most one stretch of each parameter.
std::vector<Stretch> stretches_of(std::span<const NamedParameter> parameters, const Bucket& bucket, int ranks,
                                  int rank);

}  // namespace retort
