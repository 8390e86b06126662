// nn/grad_reduce.h -- gradients summed over the ranks of a job, while the backward walk goes on.
#pragma once
#include "nn/grad_accumulator.h"
#include "tensor/comm/communicator.h"

namespace retort {

/// Makes the sums of an accumulator, on the host, those over all ranks: in place, the same bits on each. They travel in
/// flat buckets of one dtype, the first of up to 1 MiB, the others of 25 MiB (larger tensors alone), planned from the
/// last parameter to the first, as walks finish them. A bucket is on its way as soon as all of its parameters and all
/// buckets before it are final, so all ranks send them in one order whatever they reach. Throws CommError.
class GradReducer {
 public:
  GradReducer(Communicator& ranks, GradAccumulator& grads, std::string_view tag);
  GradReducer(const GradReducer&) = delete;
  ~GradReducer();

  /// The next walk is the last one: what it finishes is final.
  void last_walk();
  /// All is final: sends what has not gone yet.
  void flush();
  /// Waits for all buckets; the accumulator then holds the sums over ranks.
  void finish();

 private:
  /// Parameters that travel together.
  struct Bucket {
    std::vector<std::size_t> parameters;
    std::size_t waiting;  ///< how many are not final yet
    Tensor flat;
    Communicator::Pending pending;
  };
  void plan();
  void ready(std::size_t parameter);
  void send(Bucket& bucket);

  Communicator& ranks_;
  GradAccumulator& grads_;
  std::string tag_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;  // by parameter
  std::size_t next_ = 0;                // the first bucket that has not gone
};

}  // namespace retort
