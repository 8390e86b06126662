#include "nn/buckets.h"

#include <algorithm>

namespace retort {

namespace {
constexpr std::int64_t kFirstBuckets = std::int64_t{1} << 20, kBucket = std::int64_t{25} << 20;
}

std::vector<Bucket> plan_buckets(std::span<const NamedParameter> parameters) {
  std::vector<Bucket> buckets;
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const Tensor& value = parameters[i].parameter->value;
    const std::int64_t most = (buckets.size() <= 1 ? kFirstBuckets : kBucket) / size_of(value.dtype());
    if (buckets.empty() || value.dtype() != buckets.back().dtype || buckets.back().count + value.numel() > most)
      buckets.push_back({{}, value.dtype(), 0});
    buckets.back().parameters.push_back(i);
    buckets.back().count += value.numel();
  }
  return buckets;
}

std::vector<Stretch> stretches_of(std::span<const NamedParameter> parameters, const Bucket& bucket, int ranks,
                                  int rank) {
  const std::int64_t share = share_of(bucket, ranks), first = share * rank, last = first + share;
  std::vector<Stretch> stretches;
  std::int64_t at = 0;  // of the parameter in the bucket
  for (const std::size_t i : bucket.parameters) {
    const std::int64_t count = parameters[i].parameter->value.numel();
    const std::int64_t begin = std::max(at, first), end = std::min(at + count, last);
    if (begin < end) stretches.push_back({i, begin - at, end - at, begin - first});
    at += count;
  }
  return stretches;
}

}  // namespace retort
