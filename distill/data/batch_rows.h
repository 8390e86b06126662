// distill/data/batch_rows.h -- the pure function behind Loader: (step, rows) to host arrays.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "distill/data/loader.h"

namespace retort {

/// Rows [first, first + count) of the global batch of a step.
struct RowRange {
  std::int64_t step = 0, first = 0, count = 0;
  bool operator==(const RowRange&) const = default;
};

/// A batch outside of tensors, so that background threads charge nothing to a memory account. x is [n, H, W, C].
struct HostBatch {
  std::vector<float> x, lambda;
  std::vector<std::int64_t> y, y2, index, sample;
};

/// Computes batches; const and safe from any number of threads at once.
class BatchRows {
 public:
  BatchRows(std::shared_ptr<const Dataset> dataset, LoaderOptions options);

  /// Throws ValueError for rows outside of the batch.
  void check(const RowRange& range) const;
  /// Returns early, with rows missing, once `cancelled` is set. Throws IoError naming the image.
  HostBatch compute(const RowRange& range, const std::atomic<bool>& cancelled) const;
  /// Tensors of the values, or of the shapes alone when `host` is null.
  DataBatch tensors(std::int64_t count, const HostBatch* host) const;

  std::int64_t steps_per_epoch() const;
  /// Where in the sequence of epochs a row is.
  struct Place {
    std::int64_t epoch = 0, position = 0;
  };
  Place place(std::int64_t step, std::int64_t row) const;

  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }

 private:
  std::int64_t dataset_index(std::int64_t step, std::int64_t row) const;
  FloatImage image_at(float* pixels) const;
  void load(std::int64_t step, std::int64_t row, std::vector<std::uint8_t>& bytes, float* out) const;
  void mix_rows(const RowRange& range, HostBatch& batch, const std::atomic<bool>& cancelled) const;
  std::int64_t visible_label(std::int64_t dataset_index) const;

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  Augmenter augmenter_;
  RngKey order_, mix_;
};

}  // namespace retort
