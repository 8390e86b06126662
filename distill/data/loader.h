// distill/data/loader.h -- batches of a data set as a pure function of the step.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "distill/data/augment.h"
#include "distill/data/dataset.h"
#include "tensor/tensor.h"

namespace retort {

struct LoaderOptions {
  std::int64_t global_batch = 0;  ///< rows of one step, over all micro-batches and ranks
  std::uint64_t seed = 0;
  std::string name = "data";  ///< names the random streams: two loaders of one job need two names
  bool shuffle = true;        ///< false: the order of the data set
  bool drop_last = false;     ///< true: an epoch ends with its last whole batch; false: batches run across its end
  AugmentPlan augment;
  bool labelled = true;      ///< false hides the labels: y and y2 are -1
  DType dtype = DType::f32;  ///< of x and lambda: f32, or f64 with the same values widened
  int threads = 1;           ///< background threads of prefetched(); 0: it computes when called, as rows() does
  int prefetch = 2;          ///< batches that prefetched() keeps ready or in work
};

/// Rows [first, first + n) of one step's global batch.
struct DataBatch {
  Tensor x;       ///< [n, C, H, W], channels-last strides, normalised
  Tensor y;       ///< i64 [n], classes; -1 when hidden
  Tensor y2;      ///< i64 [n], classes of the mixing partners (the row's own where nothing was mixed); -1 when hidden;
                  ///< undefined when the loader never mixes
  Tensor lambda;  ///< [n], weight of y; 1 - lambda is that of y2
  Tensor index;   ///< i64 [n], ids in the underlying set (Dataset::id)
  Tensor sample;  ///< i64 [n], global sample index, step * global_batch + row: the key of random draws of ops
};

class BatchRows;
class Prefetcher;
class RequestPattern;

/// Serves batches without any state: what a row holds is a function of (options, step, row) alone, so micro-batches,
/// ranks and resumption need nothing but the step. Row r of step s is at position s * global_batch + r of the endless
/// sequence of epochs: epoch position / n, place position % n, where each epoch is a keyed permutation of the n images.
/// With drop_last an epoch is floor(n / global_batch) steps long and leaves out the rest. Random draws come from
/// streams "NAME/order", "NAME/augment/KIND" and "NAME/augment/mix".
class Loader {
 public:
  /// Throws ValueError: global_batch below 1 (below 2 when mixing, above the set's size with drop_last), another dtype,
  /// augmentations that do not suit the images, threads or prefetch below 0 or above 1024.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;
  ~Loader();

  /// Rows [first, first + count) of a step, computed here and now; every range equals that slice of the whole batch.
  /// 0 <= step < 2^32. Throws ValueError for rows outside the batch, IoError naming the image that cannot be read.
  DataBatch rows(std::int64_t step, std::int64_t first, std::int64_t count) const;
  /// The same batch, mostly from background threads, which follow the caller's pattern of requests. Values do not
  /// depend on it. Tensors are made by the caller's thread, so its memory account sees what rows() would show it; the
  /// batches kept ready are host memory outside of accounts. What goes wrong in the background is thrown by the call
  /// that wants those rows. For one thread at a time.
  DataBatch prefetched(std::int64_t step, std::int64_t first, std::int64_t count);
  /// The shapes, strides and dtypes of a batch of n rows on the meta device, for planning.
  DataBatch meta_batch(std::int64_t n) const;

  /// Steps in an epoch: floor(n / global_batch) with drop_last, otherwise rounded up.
  std::int64_t steps_per_epoch() const;
  /// The epoch of the step's first row.
  std::int64_t epoch_of(std::int64_t step) const;

  const Dataset& dataset() const;
  const LoaderOptions& options() const;

 private:
  std::shared_ptr<const BatchRows> rows_;
  std::shared_ptr<RequestPattern> pattern_;
  std::unique_ptr<Prefetcher> prefetcher_;  // made by the first prefetched()
};

}  // namespace retort
