// nn/grad_reduce.h -- gradients summed over the ranks of a job, while the backward walk goes on.
#pragma once
#include "nn/buckets.h"
#include "nn/grad_accumulator.h"
#include "tensor/comm/communicator.h"

namespace retort {

/// Makes the sums of an accumulator, on the host, those over all ranks: in place, the same bits on each. They travel in
/// flat buckets (nn/buckets.h). A bucket is on its way as soon as all of its parameters and all buckets before it are
/// final, so all ranks send them in one order whatever they reach. Throws CommError.
class GradReducer {
 public:
  /// Which sums a rank gets: all, or those of its shares, half the traffic; the others are then of no use to anyone.
  enum class Sums : std::uint8_t { all, own };
  GradReducer(Communicator& ranks, GradAccumulator& grads, std::string_view tag, Sums sums = Sums::all);
  GradReducer(const GradReducer&) = delete;
  ~GradReducer();

  /// The next walk is the last one: what it finishes is final.
  void last_walk();
  /// All is final: sends what has not gone yet.
  void flush();
  /// Waits for all buckets; the accumulator then holds the sums over ranks.
  void finish();

 private:
  struct Flight {
    Bucket bucket;
    std::size_t waiting;  ///< how many of its parameters are not final yet
    Tensor flat, share;   ///< `share`: of Sums::own
    Communicator::Pending pending;
  };
  void ready(std::size_t parameter);
  void send(Flight& flight);
  /// Into how many shares a bucket is cut, and which is this rank's.
  int shares() const { return sums_ == Sums::own ? ranks_.world() : 1; }
  int own_share() const { return sums_ == Sums::own ? ranks_.rank() : 0; }

  Communicator& ranks_;
  GradAccumulator& grads_;
  std::string tag_;
  Sums sums_;
  std::vector<Flight> flights_;
  std::vector<std::size_t> flight_of_;  // by parameter
  std::size_t next_ = 0;                // the first bucket that has not gone
};

}  // namespace retort
