// tests/distill/loader_test.cpp -- batches: purity, epochs, labels, mixing across micro-batches.
#include "distill/data/loader.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "tests/distill/data_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

/// The rows of a batch put together from consecutive parts of it.
DataBatch joined(const std::vector<DataBatch>& parts) {
  const auto join = [&parts](Tensor DataBatch::*member) {
    std::vector<double> values;
    Shape shape = (parts[0].*member).shape();
    shape[0] = 0;
    for (const DataBatch& part : parts) {
      const std::vector<double> more = (part.*member).values();
      values.insert(values.end(), more.begin(), more.end());
      shape[0] += (part.*member).shape()[0];
    }
    return Tensor::from(values, shape, (parts[0].*member).dtype());
  };
  DataBatch out;
  out.x = join(&DataBatch::x);
  out.y = join(&DataBatch::y);
  if (parts[0].y2.defined()) out.y2 = join(&DataBatch::y2);
  out.lambda = join(&DataBatch::lambda);
  out.index = join(&DataBatch::index);
  out.sample = join(&DataBatch::sample);
  return out;
}

/// The image indices of the first `count` positions.
std::vector<std::int64_t> order(const Loader& loader, std::int64_t count) {
  std::vector<std::int64_t> all;
  for (std::int64_t step = 0; static_cast<std::int64_t>(all.size()) < count; ++step) {
    const auto ids = loader.rows(step, 0, loader.options().global_batch).index.values<std::int64_t>();
    all.insert(all.end(), ids.begin(), ids.end());
  }
  all.resize(static_cast<std::size_t>(count));
  return all;
}

}  // namespace

TEST_CASE("loader: any split of a batch into micro-batches, in any order, gives the same rows") {
  const Loader loader(toy(50), loader_options(12, kEverything));
  std::set<bool> mixed;
  for (const std::int64_t step : {9, 0, 4, 1, 3, 2}) {
    const DataBatch whole = loader.rows(step, 0, 12);
    mixed.insert(whole.lambda.values()[0] < 1);
    CHECK(fields(joined({loader.rows(step, 0, 5), loader.rows(step, 5, 1), loader.rows(step, 6, 6)})) == fields(whole));
    const DataBatch late = loader.rows(step, 8, 4);
    CHECK(fields(joined({loader.rows(step, 0, 8), late})) == fields(whole));
    CHECK(fields(Loader(toy(50), loader_options(12, kEverything)).rows(step, 8, 4)) == fields(late));
  }
  CHECK(mixed.size() == 2);
}

TEST_CASE("loader: rows without augmentation are the images, normalised, channels innermost") {
  const Loader loader(toy(10, {3, 6, 5}), loader_options(4));
  const DataBatch batch = loader.rows(1, 1, 3);
  CHECK(batch.x.shape() == Shape{3, 3, 6, 5});
  CHECK(batch.x.strides() == channels_last_strides({3, 3, 6, 5}));
  CHECK(batch.sample.values<std::int64_t>() == std::vector<std::int64_t>{5, 6, 7});
  CHECK(batch.lambda.values() == std::vector<double>{1, 1, 1});
  CHECK_FALSE(batch.y2.defined());
  const auto ids = batch.index.values<std::int64_t>(), labels = batch.y.values<std::int64_t>();
  const float* x = batch.x.data<float>();
  for (std::int64_t row = 0; row < 3; ++row) {
    const std::int64_t id = ids[static_cast<std::size_t>(row)];
    CHECK(labels[static_cast<std::size_t>(row)] == id % 3);
    for (std::int64_t y = 0; y < 6; ++y)
      for (std::int64_t at_x = 0; at_x < 5; ++at_x)
        for (std::int64_t c = 0; c < 3; ++c)
          REQUIRE(*x++ == (static_cast<float>(ToyImages::byte(id, y, at_x, c)) / 255.0f - 0.25f) / 0.5f);
  }
}

TEST_CASE("loader: the draws of a row are those of its step and its place in the global batch") {
  const auto set = toy(40, {1, 2, 3});
  const Loader plain(set, loader_options(8)), flipping(set, loader_options(8, "[flip(p=.5)]"));
  for (std::int64_t step = 0; step < 6; ++step) {
    const auto before = plain.rows(step, 0, 8).x.values(), after = flipping.rows(step, 0, 8).x.values();
    const RngKey key = Rng(7).stream("data/augment/flip", static_cast<std::uint32_t>(step));
    for (std::size_t row = 0; row < 8; ++row) {
      float u = 0;
      fill_uniform(std::span(&u, 1), key, row);
      const std::size_t left = row * 6, right = left + 2;
      CHECK(after[left] == before[u < 0.5f ? right : left]);
    }
  }
}

TEST_CASE("loader: an epoch holds every image once, also when its end lies inside a batch") {
  for (const auto& [size, batch] : {std::pair{10, 4}, {7, 7}, {3, 8}, {1, 5}, {100, 33}}) {
    const std::int64_t n = size;
    const Loader loader(toy(n, {1, 2, 2}), loader_options(batch));
    const std::vector<std::int64_t> all = order(loader, 4 * n);
    std::set<std::vector<std::int64_t>> orders;
    for (std::int64_t epoch = 0; epoch < 4; ++epoch) {
      std::vector<std::int64_t> ids(all.begin() + epoch * n, all.begin() + (epoch + 1) * n);
      orders.insert(ids);
      std::sort(ids.begin(), ids.end());
      for (std::int64_t i = 0; i < n; ++i) REQUIRE(ids[static_cast<std::size_t>(i)] == i);
    }
    if (n >= 10) CHECK(orders.size() == 4);
    CHECK(loader.steps_per_epoch() == (n + batch - 1) / batch);
    for (std::int64_t step = 0; step < 9; ++step) CHECK(loader.epoch_of(step) == step * batch / n);
  }
}

TEST_CASE("loader: drop_last ends an epoch at its last whole batch") {
  LoaderOptions o = loader_options(4);
  o.drop_last = true;
  const Loader loader(toy(10, {1, 2, 2}), o);
  CHECK(loader.steps_per_epoch() == 2);
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) {
    std::set<std::int64_t> ids;
    for (std::int64_t step = 2 * epoch; step < 2 * epoch + 2; ++step) {
      CHECK(loader.epoch_of(step) == epoch);
      for (const auto id : loader.rows(step, 0, 4).index.values<std::int64_t>()) ids.insert(id);
    }
    CHECK(ids.size() == 8);
  }
  o.global_batch = 11;
  CHECK_THROWS_AS(Loader(toy(10), o), ValueError);
}

TEST_CASE("loader: the order depends on seed and name, and is the set's own without shuffling") {
  LoaderOptions o = loader_options(8);
  const auto set = toy(40, {1, 2, 2});
  const std::vector<std::int64_t> base = order(Loader(set, o), 40);
  CHECK(order(Loader(set, o), 40) == base);
  o.seed = 8;
  CHECK(order(Loader(set, o), 40) != base);
  o.seed = 7;
  o.name = "other";
  CHECK(order(Loader(set, o), 40) != base);
  o.shuffle = false;
  const std::vector<std::int64_t> plain = order(Loader(set, o), 100);
  for (std::size_t i = 0; i < plain.size(); ++i) REQUIRE(plain[i] == static_cast<std::int64_t>(i % 40));
}

TEST_CASE("loader: hidden labels are -1 and change nothing else; f64 is f32 widened") {
  LoaderOptions o = loader_options(6, "[flip(p=.5), mixup()]");
  const Loader open(toy(20), o);
  o.labelled = false;
  o.dtype = DType::f64;
  const DataBatch shown = open.rows(3, 0, 6), hidden = Loader(toy(20), o).rows(3, 0, 6);
  CHECK(hidden.y.values() == std::vector<double>(6, -1));
  CHECK(hidden.y2.values() == std::vector<double>(6, -1));
  CHECK(hidden.x.dtype() == DType::f64);
  CHECK(hidden.lambda.dtype() == DType::f64);
  CHECK(hidden.x.values() == shown.x.values());
  CHECK(hidden.lambda.values() == shown.lambda.values());
  CHECK(hidden.index.values() == shown.index.values());
}

TEST_CASE("loader: planned shapes are those of real batches") {
  for (const char* augment : {"[]", "[cutmix()]"}) {
    for (const Shape& shape : {Shape{1, 4, 4}, Shape{3, 6, 5}}) {
      const Loader loader(toy(20, shape), loader_options(6, augment));
      const DataBatch real = loader.rows(0, 0, 5), planned = loader.meta_batch(5);
      for (const auto member :
           {&DataBatch::x, &DataBatch::y, &DataBatch::y2, &DataBatch::lambda, &DataBatch::index, &DataBatch::sample}) {
        const Tensor &a = real.*member, &b = planned.*member;
        REQUIRE(a.defined() == b.defined());
        if (!a.defined()) continue;
        CHECK(b.meta());
        CHECK(a.shape() == b.shape());
        CHECK(a.strides() == b.strides());
        CHECK(a.dtype() == b.dtype());
      }
    }
  }
}

TEST_CASE("loader: mixed batches blend two rows of the same global batch by the label weights") {
  LoaderOptions o = loader_options(9);
  const auto set = toy(40, {1, 6, 5});
  const Loader plain(set, o);
  o.augment = plan("[mixup(alpha=1 p=.5), cutmix(alpha=1 p=.5)]");
  const Loader mixing(set, o);
  int pasted = 0, blended = 0;
  for (std::int64_t step = 0; step < 30; ++step) {
    const DataBatch a = plain.rows(step, 0, 9), b = mixing.rows(step, 0, 9);
    const auto own = a.x.values(), mixed = b.x.values(), lambda = b.lambda.values();
    CHECK(b.y.values() == a.y.values());
    CHECK(b.index.values() == a.index.values());
    // One shift serves the whole batch: the rows that explain every pixel and label are found by trying all of them.
    const auto y = a.y.values(), y2 = b.y2.values();
    bool found = false, paste = true;
    for (std::size_t shift = 1; shift < 9 && !found; ++shift) {
      bool blend = true;
      paste = true;
      for (std::size_t row = 0; row < 9; ++row) {
        const std::size_t other = (row + shift) % 9;
        std::size_t taken = 0;
        if (y2[row] != y[other]) blend = paste = false;
        for (std::size_t i = 0; i < 30; ++i) {
          const double v = mixed[row * 30 + i], p = own[row * 30 + i], q = own[other * 30 + i];
          blend = blend && std::abs(v - (lambda[row] * p + (1 - lambda[row]) * q)) < 1e-6;
          paste = paste && (v == p || v == q);
          taken += v == q && p != q;
        }
        paste = paste && std::abs(static_cast<double>(taken) / 30 - (1 - lambda[row])) < 1e-7;
      }
      found = blend || paste;
    }
    CHECK(found);
    (paste ? pasted : blended) += 1;
  }
  CHECK(pasted > 5);
  CHECK(blended > 5);
}

TEST_CASE("loader: errors name the loader, the image and what is allowed") {
  const Loader loader(toy(20), loader_options(6));
  CHECK(contains(error_of([&] { loader.rows(0, 4, 3); }), "rows [4, 4 + 3) are not in the global batch of 6"));
  CHECK_THROWS_AS(loader.rows(-1, 0, 1), ValueError);
  CHECK_THROWS_AS(loader.rows(std::int64_t{1} << 32, 0, 1), ValueError);
  CHECK_THROWS_AS(loader.rows(0, -1, 1), ValueError);
  CHECK_THROWS_AS(Loader(toy(20), loader_options(0)), ValueError);
  CHECK_THROWS_AS(Loader(toy(20), loader_options(1, "[mixup()]")), ValueError);
  CHECK(contains(error_of([] { Loader(toy(20), loader_options(4, "[crop(pad=5 padding=reflect)]")); }), "pad 5"));
  LoaderOptions half = loader_options(4);
  half.dtype = DType::f16;
  CHECK_THROWS_AS(Loader(toy(20), half), ValueError);
}
