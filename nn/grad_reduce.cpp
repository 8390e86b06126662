// nn/grad_reduce.cpp -- buckets: planned from the sizes alone, packed and sent when full, unpacked at the end.
#include "nn/grad_reduce.h"

#include <cstring>

namespace retort {

namespace {
constexpr std::int64_t kFirstBucket = std::int64_t{1} << 20, kBucket = std::int64_t{25} << 20;

std::size_t flat_bytes(const Tensor& t) { return static_cast<std::size_t>(t.numel() * size_of(t.dtype())); }
}  // namespace

GradReducer::GradReducer(Communicator& ranks, GradAccumulator& grads, std::string_view tag)
    : ranks_(ranks), grads_(grads), tag_(tag.substr(0, Communicator::kLongestTag)) {
  plan();
}

GradReducer::~GradReducer() { grads_.listen({}); }

void GradReducer::plan() {
  const auto& parameters = grads_.parameters();
  bucket_of_.resize(parameters.size());
  std::int64_t bytes = 0;
  DType dtype{};
  for (std::size_t i = parameters.size(); i-- > 0;) {
    const Tensor& value = parameters[i].parameter->value;
    const std::int64_t own = value.numel() * size_of(value.dtype());
    const std::int64_t most = buckets_.size() <= 1 ? kFirstBucket : kBucket;
    if (buckets_.empty() || value.dtype() != dtype || bytes + own > most) {
      buckets_.emplace_back();
      bytes = 0;
    }
    dtype = value.dtype();
    bytes += own;
    buckets_.back().parameters.push_back(i);
    buckets_.back().waiting = buckets_.back().parameters.size();
    bucket_of_[i] = buckets_.size() - 1;
  }
}

void GradReducer::last_walk() {
  grads_.listen([this](std::size_t parameter) { ready(parameter); });
}

void GradReducer::ready(std::size_t parameter) {
  --buckets_[bucket_of_[parameter]].waiting;
  while (next_ < buckets_.size() && buckets_[next_].waiting == 0) send(buckets_[next_++]);
}

void GradReducer::flush() {
  grads_.listen({});
  while (next_ < buckets_.size()) send(buckets_[next_++]);
}

void GradReducer::send(Bucket& bucket) {
  std::int64_t count = 0;
  for (const std::size_t i : bucket.parameters) count += grads_.shared_grad(i).numel();
  bucket.flat = Tensor::empty({count}, grads_.shared_grad(bucket.parameters[0]).dtype());
  std::byte* at = bucket.flat.raw();
  for (const std::size_t i : bucket.parameters) {
    const Tensor& g = grads_.shared_grad(i);
    std::memcpy(at, g.raw(), flat_bytes(g));
    at += flat_bytes(g);
  }
  bucket.pending = ranks_.start_all_reduce({bucket.flat.raw(), bucket.flat.dtype(), count}, Reduction::sum, tag_);
}

void GradReducer::finish() {
  flush();
  for (Bucket& bucket : buckets_) {
    bucket.pending.wait();
    const std::byte* at = bucket.flat.raw();
    for (const std::size_t i : bucket.parameters) {
      const Tensor& g = grads_.shared_grad(i);
      std::memcpy(g.raw(), at, flat_bytes(g));
      g.storage()->mark_written("sum over ranks");
      at += flat_bytes(g);
    }
    bucket.flat = {};
  }
}

}  // namespace retort
