// distill/data/loader.cpp -- the Loader's face over BatchRows.
#include "distill/data/loader.h"

#include "distill/data/batch_rows.h"
#include "distill/data/prefetch.h"

namespace retort {

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : rows_(std::make_shared<const BatchRows>(std::move(dataset), std::move(options))),
      pattern_(std::make_shared<RequestPattern>(rows_->options().global_batch)) {}
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;
Loader::~Loader() = default;

DataBatch Loader::rows(std::int64_t step, std::int64_t first, std::int64_t count) const {
  const HostBatch host = rows_->compute({step, first, count}, std::atomic<bool>(false));
  return rows_->tensors(count, &host);
}

DataBatch Loader::prefetched(std::int64_t step, std::int64_t first, std::int64_t count) {
  const RowRange range{step, first, count};
  rows_->check(range);
  if (!prefetcher_) {
    const int threads = options().threads;
    prefetcher_ = std::make_unique<Prefetcher>(rows_, threads, threads > 0 ? options().prefetch : 0,
                                               [pattern = pattern_](const RowRange& r) { return pattern->after(r); });
  }
  pattern_->observe(range);
  const HostBatch host = prefetcher_->take(range);
  return rows_->tensors(count, &host);
}

DataBatch Loader::meta_batch(std::int64_t n) const { return rows_->tensors(n, nullptr); }

std::int64_t Loader::steps_per_epoch() const { return rows_->steps_per_epoch(); }
std::int64_t Loader::epoch_of(std::int64_t step) const { return rows_->place(step, 0).epoch; }
const Dataset& Loader::dataset() const { return rows_->dataset(); }
const LoaderOptions& Loader::options() const { return rows_->options(); }

}  // namespace retort
