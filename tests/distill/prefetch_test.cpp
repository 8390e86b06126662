// tests/distill/prefetch_test.cpp -- background threads: same values, prompt stop, errors at the consumer, memory; and
// the sequential batches of evaluation.
#include "distill/data/prefetch.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "distill/data/sequential.h"
#include "tests/distill/data_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

using SteadyClock = std::chrono::steady_clock;

/// Images that take a while, count their readers, and fail at one index.
class HardImages : public ToyImages {
 public:
  HardImages(std::int64_t count, std::chrono::milliseconds delay, std::int64_t broken)
      : ToyImages(count, {1, 2, 2}), delay_(delay), broken_(broken) {}
  std::int64_t reads() const { return reads_; }

 protected:
  void read_image_at(std::int64_t index, std::span<std::uint8_t> hwc) const override {
    ++reads_;
    if (delay_.count() > 0) std::this_thread::sleep_for(delay_);
    if (index == broken_) throw IoError("pictures/{}.png: no such picture", index);
    ToyImages::read_image_at(index, hwc);
  }

 private:
  std::chrono::milliseconds delay_;
  std::int64_t broken_;
  mutable std::atomic<std::int64_t> reads_{0};
};

void wait_for(const std::function<bool()>& condition) {
  const auto deadline = SteadyClock::now() + std::chrono::seconds(20);
  while (!condition() && SteadyClock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  REQUIRE(condition());
}

}  // namespace

TEST_CASE("prefetch: batches are those of rows(), for any number of threads and any pattern of requests") {
  const auto set = toy(50);
  for (const auto& [threads, depth] : {std::pair{0, 2}, {1, 1}, {1, 0}, {3, 4}}) {
    LoaderOptions o = loader_options(12, kEverything);
    o.threads = threads;
    o.prefetch = depth;
    Loader loader(set, o);
    const auto check = [&loader](std::int64_t step, std::int64_t first, std::int64_t count) {
      REQUIRE(fields(loader.prefetched(step, first, count)) == fields(loader.rows(step, first, count)));
    };
    for (std::int64_t step = 0; step < 5; ++step) check(step, 0, 12);
    for (std::int64_t step = 0; step < 5; ++step)
      for (const auto& [first, count] : {std::pair{0, 5}, {5, 5}, {10, 2}}) check(step, first, count);
    for (const std::int64_t step : {9, 2, 2, 40, 41, 39}) check(step, step % 7, 5);
    Loader moved = std::move(loader);
    CHECK(fields(moved.prefetched(3, 4, 8)) == fields(moved.rows(3, 4, 8)));
  }
}

TEST_CASE("prefetch: what followed rows once is expected to follow them again") {
  RequestPattern whole(8), micro(8), rank(8);
  CHECK(whole.after({3, 0, 8}) == RowRange{4, 0, 8});
  CHECK(micro.after({3, 0, 4}) == RowRange{3, 4, 4});
  CHECK(micro.after({3, 4, 4}) == RowRange{4, 0, 4});
  // A rank that owns rows 2 to 7 in uneven parts and skips every other step.
  for (const RowRange& range : {RowRange{0, 2, 4}, {0, 6, 2}, {2, 2, 4}}) rank.observe(range);
  CHECK(rank.after({10, 2, 4}) == RowRange{10, 6, 2});
  CHECK(rank.after({10, 6, 2}) == RowRange{12, 2, 4});
}

TEST_CASE("prefetch: the next batches are computed before they are asked for, and no more than those") {
  const auto set = std::make_shared<HardImages>(100, std::chrono::milliseconds(0), -1);
  LoaderOptions o = loader_options(10);
  o.threads = 2;
  o.prefetch = 3;
  Loader loader(set, o);
  loader.prefetched(0, 0, 10);
  wait_for([&set] { return set->reads() == 40; });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(set->reads() == 40);
  for (std::int64_t step = 1; step < 8; ++step) {
    loader.prefetched(step, 0, 10);
    wait_for([&set, step] { return set->reads() == 10 * (step + 4); });
  }
}

TEST_CASE("prefetch: an error in the background arrives with the rows it belongs to, and work goes on after it") {
  for (const int threads : {0, 1, 3}) {
    LoaderOptions o = loader_options(4);
    o.threads = threads;
    o.shuffle = false;
    const auto set = std::make_shared<HardImages>(40, std::chrono::milliseconds(0), 9);
    Loader loader(set, o);
    loader.prefetched(0, 0, 4);
    loader.prefetched(1, 0, 4);
    if (threads > 0) wait_for([&set] { return set->reads() >= 10; });  // the broken image has been met
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::string error = error_of([&] { loader.prefetched(2, 0, 4); });
      CHECK(contains(error, "image 9"));
      CHECK(contains(error, "pictures/9.png"));
      CHECK(contains(error, "step 2"));
    }
    for (std::int64_t step = 3; step < 8; ++step)
      CHECK(fields(loader.prefetched(step, 0, 4)) == fields(loader.rows(step, 0, 4)));
    CHECK_THROWS_AS(loader.prefetched(0, 3, 2), ValueError);
    CHECK_THROWS_AS(loader.prefetched(-1, 0, 4), ValueError);
    CHECK(fields(loader.prefetched(0, 0, 4)) == fields(loader.rows(0, 0, 4)));
  }
}

TEST_CASE("prefetch: a changed mind is served, and the threads end, without waiting for batches in work") {
  const auto set = std::make_shared<HardImages>(5000, std::chrono::milliseconds(5), -1);
  const auto rows = std::make_shared<const BatchRows>(set, loader_options(1000));
  // One row is asked for; the thousand expected next would take five seconds.
  auto prefetcher = std::make_unique<Prefetcher>(rows, 2, 2, [](const RowRange& r) {
    return RowRange{r.step + 1, 0, 1000};
  });
  prefetcher->take({0, 0, 1});
  for (const std::int64_t step : {7, 3}) {
    const std::int64_t before = set->reads();
    wait_for([&] { return set->reads() > before + 4; });
    const SteadyClock::time_point begin = SteadyClock::now();
    CHECK(prefetcher->take({step, 0, 1}).index.size() == 1);
    CHECK(SteadyClock::now() - begin < std::chrono::seconds(1));
  }
  const SteadyClock::time_point begin = SteadyClock::now();
  prefetcher.reset();
  CHECK(SteadyClock::now() - begin < std::chrono::seconds(1));
}

TEST_CASE("prefetch: the consumer's memory account sees what rows() shows it") {
  LoaderOptions o = loader_options(32, "[flip(p=.5), mixup()]");
  o.threads = 2;
  const auto peak = [&](auto&& request) {
    const Ref<MemoryAccount> account(new MemoryAccount);
    const MemoryScope scope(account);
    Loader loader(toy(100), o);
    for (std::int64_t step = 0; step < 6; ++step) request(loader, step);
    CHECK(account->current() == 0);
    return account->peak();
  };
  const auto plain = peak([](Loader& loader, std::int64_t step) { loader.rows(step, 0, 32); });
  CHECK(peak([](Loader& loader, std::int64_t step) { loader.prefetched(step, 0, 32); }) == plain);
  CHECK(peak([](Loader& loader, std::int64_t) { loader.meta_batch(32); }) == plain);
}

TEST_CASE("sequential: every image once, in order, unchanged, the last batch partial") {
  for (const int threads : {0, 2}) {
    for (const std::int64_t n : {1, 7, 8, 9}) {
      SequentialBatches batches(toy(n), 4, DType::f32, threads);
      REQUIRE(batches.size() == (n + 3) / 4);
      for (int pass = 0; pass < 2; ++pass) {
        std::int64_t seen = 0;
        for (std::int64_t i = 0; i < batches.size(); ++i) {
          const DataBatch batch = batches.at(i);
          REQUIRE(batch.x.shape()[0] == std::min<std::int64_t>(4, n - 4 * i));
          const auto ids = batch.index.values<std::int64_t>(), labels = batch.y.values<std::int64_t>();
          const auto x = batch.x.values<float>();
          for (std::size_t row = 0; row < ids.size(); ++row, ++seen) {
            REQUIRE(ids[row] == seen);
            REQUIRE(labels[row] == seen % 3);
            REQUIRE(x[row * 90] == (static_cast<float>(ToyImages::byte(seen, 0, 0, 0)) / 255.0f - 0.25f) / 0.5f);
          }
        }
        CHECK(seen == n);
      }
      CHECK_THROWS_AS(batches.at(batches.size()), ValueError);
      CHECK_THROWS_AS(batches.at(-1), ValueError);
    }
  }
  SequentialBatches wide(toy(5), 4, DType::f64);
  CHECK(wide.at(1).x.dtype() == DType::f64);
  CHECK(wide.meta_batch(3).x.shape() == Shape{3, 3, 6, 5});
  CHECK_THROWS_AS(SequentialBatches(toy(5), 0), ValueError);
}
