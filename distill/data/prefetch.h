// distill/data/prefetch.h -- batches computed on background threads before they are asked for.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "distill/data/batch_rows.h"

namespace retort {

/// Keeps up to `depth` batches beyond the consumer's last request computed or in work. What it hands out is what
/// BatchRows::compute gives: a wrong guess costs time, never changes a value. For one consumer thread.
class Prefetcher {
 public:
  /// The request expected after another one; none: nothing is prepared.
  using Foresight = std::function<std::optional<RowRange>(const RowRange&)>;

  /// Throws ValueError when the system refuses the threads.
  Prefetcher(std::shared_ptr<const BatchRows> rows, int threads, int depth, Foresight next);
  /// Returns as soon as each thread has finished the image in its hands.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The batch; what went wrong while computing it, on whichever thread, is thrown here.
  HostBatch take(const RowRange& range);

 private:
  /// One expected request. `stage` is guarded by the mutex; the results are the owner's until the stage is `done`.
  struct Job {
    enum class Stage { waiting, running, done };
    RowRange range;
    Stage stage = Stage::waiting;
    std::atomic<bool> cancelled{false};
    HostBatch batch;
    std::exception_ptr error;
  };

  void work();
  void stop();
  std::shared_ptr<Job> next_waiting();
  std::shared_ptr<Job> claim(const RowRange& range);
  void expect_after(RowRange range);
  void cancel_all();

  std::shared_ptr<const BatchRows> rows_;
  Foresight next_;
  std::size_t depth_;
  std::mutex mutex_;
  std::condition_variable wanted_, done_;
  std::deque<std::shared_ptr<Job>> queue_;  // in the order in which the requests are expected
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

/// Learns the order of a training loop's requests: what followed rows [first, first + count) the last time is expected
/// to follow them again, so micro-batches, ranks and skipped steps are foreseen from their second round on.
class RequestPattern {
 public:
  explicit RequestPattern(std::int64_t global_batch) : global_batch_(global_batch) {}
  void observe(const RowRange& range);
  /// Rows never seen before are expected to be followed by as many rows of the same step, then of the next.
  RowRange after(const RowRange& range) const;

 private:
  using Rows = std::pair<std::int64_t, std::int64_t>;
  std::int64_t global_batch_;
  std::optional<RowRange> last_;
  std::map<Rows, RowRange> followers_;  // the follower's step counts from the followed one's
};

}  // namespace retort
