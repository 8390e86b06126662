#include "nn/state_shards.h"

#include <cstring>

#include "tensor/write.h"

namespace retort {

namespace {
void copy_elements(const Tensor& to, std::int64_t to_first, const Tensor& from, std::int64_t from_first,
                   std::int64_t count) {
  const std::int64_t size = size_of(to.dtype());
  std::memcpy(to.raw() + to_first * size, from.raw() + from_first * size, static_cast<std::size_t>(count * size));
}
}  // namespace

StateShards::StateShards(Communicator& ranks, std::vector<NamedParameter> parameters)
    : ranks_(ranks), parameters_(std::move(parameters)), buckets_(plan_buckets(parameters_)) {
  std::vector<Stretch> nothing;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    nothing.push_back({i, 0, 0, 0});
    const Tensor& value = parameters_[i].parameter->value;
    if (!value.layout().dense())
      throw ShapeError("state shards: parameter {} has gaps in its memory; got strides {} for {}", parameters_[i].name,
                       value.strides().str(), value.str());
  }
  by_rank_.assign(static_cast<std::size_t>(ranks_.world()), nothing);
  for (int r = 0; r < ranks_.world(); ++r)
    for (const Bucket& bucket : buckets_)
      for (const Stretch& s : stretches_of(parameters_, bucket, ranks_.world(), r))
        by_rank_[static_cast<std::size_t>(r)][s.parameter] = s;
  for (const Stretch& s : by_rank_[static_cast<std::size_t>(ranks_.rank())]) {
    const Parameter& whole = *parameters_[s.parameter].parameter;
    Parameter piece;
    piece.value = stretch(whole.value, s);
    if (whole.shadow.defined()) piece.shadow = stretch(whole.shadow, s);
    piece.decays = whole.decays;
    pieces_.push_back(std::move(piece));
  }
  for (std::size_t i = 0; i < parameters_.size(); ++i) own_.push_back({parameters_[i].name, &pieces_[i]});
}

Tensor StateShards::stretch(const Tensor& whole, const Stretch& s) const {
  return whole.view({{s.end - s.begin}, {1}, whole.layout().offset + s.begin});
}

std::span<const NamedParameter> StateShards::own(std::size_t first, std::size_t count) const {
  return std::span(own_).subspan(first, count);
}

std::vector<Tensor> StateShards::own_of(std::span<const Tensor> whole, std::size_t first) const {
  std::vector<Tensor> list;
  for (std::size_t i = 0; i < whole.size(); ++i)
    list.push_back(stretch(whole[i], by_rank_[static_cast<std::size_t>(ranks_.rank())][first + i]));
  return list;
}

void StateShards::gather_values() {
  const int world = ranks_.world();
  std::vector<Tensor> flats;
  std::vector<Communicator::Pending> pending;
  for (const Bucket& bucket : buckets_) {
    const std::int64_t share = share_of(bucket, world);
    flats.push_back(Tensor::empty({share * world}, bucket.dtype));
    const Tensor mine = flats.back().view({{share}, {1}, share * ranks_.rank()});
    if (share * world > bucket.count) fill_(mine, 0);  // it may end early
    for (const Stretch& s : stretches_of(parameters_, bucket, world, ranks_.rank()))
      copy_elements(mine, s.at, parameters_[s.parameter].parameter->value, s.begin, s.end - s.begin);
    pending.push_back(ranks_.start_all_gather({mine.raw(), bucket.dtype, share},
                                              {flats.back().raw(), bucket.dtype, share * world}, "values"));
  }
  for (std::size_t b = 0; b < buckets_.size(); ++b) {
    pending[b].wait();
    for (const Stretch& s : stretches_of(parameters_, buckets_[b], 1, 0)) {
      const Parameter& p = *parameters_[s.parameter].parameter;
      copy_elements(p.value, 0, flats[b], s.at, s.end);
      p.value.storage()->mark_written("values of all ranks");
      if (p.shadow.defined()) assign_(p.shadow, p.value, "values of all ranks");
    }
  }
}

void StateShards::gather(std::size_t parameter, const Tensor& own, const Tensor& whole) {
  const int me = ranks_.rank();
  const Stretch& mine = by_rank_[static_cast<std::size_t>(me)][parameter];
  if (me != 0) {
    if (mine.end > mine.begin) ranks_.send({own.raw(), own.dtype(), own.numel()}, 0, "state");
    return;
  }
  copy_elements(whole, mine.begin, own, 0, mine.end - mine.begin);
  for (int r = 1; r < ranks_.world(); ++r) {
    const Stretch& s = by_rank_[static_cast<std::size_t>(r)][parameter];
    if (s.end > s.begin)
      ranks_.recv({whole.raw() + s.begin * size_of(whole.dtype()), whole.dtype(), s.end - s.begin}, r, "state");
  }
}

void StateShards::take(std::size_t parameter, const Tensor& whole, const Tensor& own) const {
  const Stretch& s = by_rank_[static_cast<std::size_t>(ranks_.rank())][parameter];
  copy_elements(own, 0, whole, s.begin, s.end - s.begin);
  own.storage()->mark_written("state");
}

}  // namespace retort
