// distill/data/sequential.cpp -- evaluation batches over BatchRows.
#include "distill/data/sequential.h"

#include <algorithm>
#include <optional>

#include "distill/data/prefetch.h"
#include "tensor/error.h"

namespace retort {
namespace {

LoaderOptions sequential_options(std::int64_t batch, DType dtype, int threads) {
  LoaderOptions options;
  options.global_batch = batch;
  options.name = "evaluation";
  options.shuffle = false;
  options.dtype = dtype;
  options.threads = threads;
  options.prefetch = threads > 0 ? 2 : 0;
  return options;
}

/// Batch `i` of the set; none beyond its end.
std::optional<RowRange> batch_range(const BatchRows& rows, std::int64_t i) {
  const std::int64_t batch = rows.options().global_batch;
  if (i < 0 || i >= rows.steps_per_epoch()) return std::nullopt;
  return RowRange{i, 0, std::min(batch, rows.dataset().size() - i * batch)};
}

}  // namespace

SequentialBatches::SequentialBatches(std::shared_ptr<const Dataset> dataset, std::int64_t batch, DType dtype,
                                     int threads)
    : rows_(std::make_shared<const BatchRows>(std::move(dataset), sequential_options(batch, dtype, threads))) {}
SequentialBatches::SequentialBatches(SequentialBatches&&) noexcept = default;
SequentialBatches& SequentialBatches::operator=(SequentialBatches&&) noexcept = default;
SequentialBatches::~SequentialBatches() = default;

std::int64_t SequentialBatches::size() const { return rows_->steps_per_epoch(); }

DataBatch SequentialBatches::at(std::int64_t i) {
  const std::optional<RowRange> range = batch_range(*rows_, i);
  if (!range) throw ValueError("evaluation: no such batch; got {} of {}", i, size());
  if (!prefetcher_) {
    const LoaderOptions& options = rows_->options();
    prefetcher_ =
        std::make_unique<Prefetcher>(rows_, options.threads, options.prefetch,
                                     [rows = rows_](const RowRange& r) { return batch_range(*rows, r.step + 1); });
  }
  const HostBatch host = prefetcher_->take(*range);
  return rows_->tensors(range->count, &host);
}

DataBatch SequentialBatches::meta_batch(std::int64_t n) const { return rows_->tensors(n, nullptr); }

}  // namespace retort
