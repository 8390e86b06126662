// distill/data/prefetch.cpp -- the queue of expected batches and the threads that work on it.
#include "distill/data/prefetch.h"

#include <algorithm>
#include <system_error>

#include "tensor/error.h"

namespace retort {

Prefetcher::Prefetcher(std::shared_ptr<const BatchRows> rows, int threads, int depth, Foresight next)
    : rows_(std::move(rows)), next_(std::move(next)), depth_(static_cast<std::size_t>(depth)) {
  try {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (const std::system_error& e) {
    stop();
    throw ValueError("loader {}: the system refuses {} background threads; got {}", rows_->options().name, threads,
                     e.what());
  }
}

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    cancel_all();
  }
  wanted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Prefetcher::cancel_all() {
  for (const auto& job : queue_) job->cancelled = true;
  queue_.clear();
}

std::shared_ptr<Prefetcher::Job> Prefetcher::next_waiting() {
  const auto hit =
      std::find_if(queue_.begin(), queue_.end(), [](const auto& job) { return job->stage == Job::Stage::waiting; });
  return hit == queue_.end() ? nullptr : *hit;
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    std::shared_ptr<Job> job;
    wanted_.wait(lock, [&] { return stopping_ || (job = next_waiting()); });
    if (stopping_) return;
    job->stage = Job::Stage::running;
    lock.unlock();
    try {
      job->batch = rows_->compute(job->range, job->cancelled);
    } catch (...) {
      job->error = std::current_exception();
    }
    lock.lock();
    job->stage = Job::Stage::done;
    done_.notify_all();
  }
}

/// Takes the job of this request out of the queue; null when something else was expected or nobody has begun it: the
/// consumer then computes it itself.
std::shared_ptr<Prefetcher::Job> Prefetcher::claim(const RowRange& range) {
  if (queue_.empty() || queue_.front()->range != range) {
    cancel_all();
    return nullptr;
  }
  std::shared_ptr<Job> job = queue_.front();
  queue_.pop_front();
  return job->stage == Job::Stage::waiting ? nullptr : job;
}

void Prefetcher::expect_after(RowRange range) {
  if (!queue_.empty()) range = queue_.back()->range;
  while (queue_.size() < depth_) {
    const std::optional<RowRange> next = next_(range);
    if (!next) break;
    range = *next;
    queue_.push_back(std::make_shared<Job>());
    queue_.back()->range = range;
  }
}

HostBatch Prefetcher::take(const RowRange& range) {
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Job> job = claim(range);
  expect_after(range);
  wanted_.notify_all();
  if (!job) {
    lock.unlock();
    return rows_->compute(range, std::atomic<bool>(false));
  }
  done_.wait(lock, [&job] { return job->stage == Job::Stage::done; });
  if (job->error) std::rethrow_exception(job->error);
  return std::move(job->batch);
}

void RequestPattern::observe(const RowRange& range) {
  if (last_) followers_[{last_->first, last_->count}] = {range.step - last_->step, range.first, range.count};
  last_ = range;
}

RowRange RequestPattern::after(const RowRange& range) const {
  const auto hit = followers_.find({range.first, range.count});
  if (hit != followers_.end()) return {range.step + hit->second.step, hit->second.first, hit->second.count};
  const std::int64_t end = range.first + range.count;
  if (end + range.count <= global_batch_) return {range.step, end, range.count};
  return {range.step + 1, 0, range.count};
}

}  // namespace retort
