// nn/grad_reduce.cpp -- buckets: packed and sent when full, unpacked at the end.
#include "nn/grad_reduce.h"

#include <cstring>

namespace retort {

GradReducer::GradReducer(Communicator& ranks, GradAccumulator& grads, std::string_view tag, Sums sums)
    : ranks_(ranks), grads_(grads), tag_(tag.substr(0, Communicator::kLongestTag)), sums_(sums) {
  flight_of_.resize(grads.parameters().size());
  for (Bucket& bucket : plan_buckets(grads.parameters())) {
    for (const std::size_t i : bucket.parameters) flight_of_[i] = flights_.size();
    const std::size_t waiting = bucket.parameters.size();
    flights_.push_back({std::move(bucket), waiting, {}, {}, {}});
  }
}

GradReducer::~GradReducer() { grads_.listen({}); }

void GradReducer::last_walk() {
  grads_.listen([this](std::size_t parameter) { ready(parameter); });
}

void GradReducer::ready(std::size_t parameter) {
  --flights_[flight_of_[parameter]].waiting;
  while (next_ < flights_.size() && flights_[next_].waiting == 0) send(flights_[next_++]);
}

void GradReducer::flush() {
  grads_.listen({});
  while (next_ < flights_.size()) send(flights_[next_++]);
}

void GradReducer::send(Flight& flight) {
  const Bucket& bucket = flight.bucket;
  const std::int64_t share = share_of(bucket, shares()), size = size_of(bucket.dtype);
  flight.flat = Tensor::empty({share * shares()}, bucket.dtype);
  std::byte* at = flight.flat.raw();
  for (const std::size_t i : bucket.parameters) {
    const Tensor& g = grads_.shared_grad(i);
    std::memcpy(at, g.raw(), static_cast<std::size_t>(g.numel() * size));
    at += g.numel() * size;
  }
  std::memset(at, 0, static_cast<std::size_t>((share * shares() - bucket.count) * size));
  const Elements all{flight.flat.raw(), bucket.dtype, share * shares()};
  if (sums_ == Sums::all) {
    flight.share = flight.flat;
    flight.pending = ranks_.start_all_reduce(all, Reduction::sum, tag_);
  } else {
    flight.share = Tensor::empty({share}, bucket.dtype);
    flight.pending = ranks_.start_reduce_scatter({all.data, all.dtype, all.count},
                                                 {flight.share.raw(), bucket.dtype, share}, Reduction::sum, tag_);
  }
}

void GradReducer::finish() {
  flush();
  for (Flight& flight : flights_) {
    flight.pending.wait();
    const std::int64_t size = size_of(flight.bucket.dtype);
    for (const Stretch& s : stretches_of(grads_.parameters(), flight.bucket, shares(), own_share())) {
      const Tensor& g = grads_.shared_grad(s.parameter);
      std::memcpy(g.raw() + s.begin * size, flight.share.raw() + s.at * size,
                  static_cast<std::size_t>((s.end - s.begin) * size));
      g.storage()->mark_written("sum over ranks");
    }
    flight.flat = flight.share = {};
  }
}

}  // namespace retort
