// nn/state_shards.h -- ZeRO-1: each rank keeps the optimiser's state, and makes the steps, of a share of the values.
#pragma once
#include "nn/buckets.h"
#include "tensor/comm/communicator.h"

namespace retort {

/// Cuts the values of a list of parameters into as many shares as there are ranks, those of nn/buckets.h, to within an
/// element of one size. An optimiser whose steps are elementwise updates the own stretches as if they were parameters;
/// then every rank gets all values (Rajbhandari et al. 2020, "ZeRO", stage 1). All calls that talk are collective.
class StateShards {
 public:
  /// The parameters must keep their memory while this lives. Throws ShapeError for one with gaps in it.
  StateShards(Communicator& ranks, std::vector<NamedParameter> parameters);
  StateShards(const StateShards&) = delete;
  StateShards& operator=(const StateShards&) = delete;

  /// The own stretches of parameters [first, first + count), of rank 1 and in their memory; empty where there is none.
  std::span<const NamedParameter> own(std::size_t first, std::size_t count) const;
  /// The same stretches of tensors that lie as parameters first, first + 1, .. do.
  std::vector<Tensor> own_of(std::span<const Tensor> whole, std::size_t first = 0) const;
  /// After steps on own stretches: the values of all ranks, and 16-bit shadows of them.
  void gather_values();
  /// Rank 0 puts what all ranks have in `own`, each for its stretch of the parameter, into `whole`, which lies as the
  /// parameter does; the others need no `whole`.
  void gather(std::size_t parameter, const Tensor& own, const Tensor& whole);
  /// On each rank by itself: own <- its stretch of `whole`.
  void take(std::size_t parameter, const Tensor& whole, const Tensor& own) const;

 private:
  Tensor stretch(const Tensor& whole, const Stretch& s) const;

  Communicator& ranks_;
  std::vector<NamedParameter> parameters_;
  std::vector<Bucket> buckets_;
  std::vector<std::vector<Stretch>> by_rank_;  ///< [rank][parameter]
  std::vector<Parameter> pieces_;
  std::vector<NamedParameter> own_;
};

}  // namespace retort
