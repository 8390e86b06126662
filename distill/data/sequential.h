// distill/data/sequential.h -- a whole data set once, in order, in batches: for evaluation.
#pragma once
#include <cstdint>
#include <memory>

#include "distill/data/loader.h"

namespace retort {

class Prefetcher;

/// The images of a set in its own order, without augmentation; the last batch may be smaller.
///
///     for (std::int64_t i = 0; i < batches.size(); ++i) count(model(batches.at(i).x));
class SequentialBatches {
 public:
  /// `batch` rows at a time; `threads` compute ahead in the background (0: none). Throws ValueError for batch < 1 or a
  /// dtype other than f32 and f64.
  SequentialBatches(std::shared_ptr<const Dataset> dataset, std::int64_t batch, DType dtype = DType::f32,
                    int threads = 1);
  SequentialBatches(SequentialBatches&&) noexcept;
  SequentialBatches& operator=(SequentialBatches&&) noexcept;
  ~SequentialBatches();

  /// The number of batches: the set's size over `batch`, rounded up.
  std::int64_t size() const;
  /// Batch `i`; `sample` is the place in the set. Asking in order, from any start, is foreseen. For one thread at a
  /// time. Throws ValueError for i outside [0, size()), IoError naming the image that cannot be read.
  DataBatch at(std::int64_t i);
  /// A batch of `n` rows on the meta device, for planning.
  DataBatch meta_batch(std::int64_t n) const;

 private:
  std::shared_ptr<const BatchRows> rows_;
  std::unique_ptr<Prefetcher> prefetcher_;
};

}  // namespace retort
