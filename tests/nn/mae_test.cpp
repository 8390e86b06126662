// tests/nn/mae_test.cpp -- masked autoencoders: what is hidden, that two networks hide the same, early stops.
#include "nn/models/mae.h"

#include <doctest/doctest.h>

#include <set>

#include "autograd/ops/arithmetic.h"

using namespace retort;

namespace {
Tensor images(std::int64_t n) {
  std::vector<double> v(static_cast<std::size_t>(n * 64));
  fill_normal(std::span<double>(v), Rng(4).stream("x"), 0);
  return Tensor::from(v, {n, 1, 8, 8}, DType::f64);
}

Tensor ids(std::int64_t n, std::int64_t first = 0) {
  std::vector<std::int64_t> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(first + i);
  return Tensor::of<std::int64_t>(v, {n});
}

Mae small(double ratio, int views = 1) {
  Mae m(MaeConfig{.image = 8,
                  .patch = 2,
                  .in_channels = 1,
                  .width = 8,
                  .depth = 3,
                  .heads = 2,
                  .decoder_width = 8,
                  .decoder_depth = 1,
                  .decoder_heads = 2,
                  .mask = {ratio, views}});
  initialize(m, Rng(1));
  convert(m, DType::f64);
  return m;
}
}  // namespace

TEST_CASE("mae: hidden and visible patches are a partition, drawn for each sample and step") {
  const PatchMask mask{.75};
  const auto at = mask.of(Rng(3), 5, ids(6), 16, kCpu);
  CHECK(at.hidden.shape() == Shape{6, 12});
  CHECK(at.visible.shape() == Shape{6, 4});
  const auto hidden = at.hidden.values<std::int64_t>(), visible = at.visible.values<std::int64_t>();
  std::set<std::vector<std::int64_t>> different;
  for (std::ptrdiff_t i = 0; i < 6; ++i) {
    std::set<std::int64_t> all(hidden.begin() + 12 * i, hidden.begin() + 12 * i + 12);
    all.insert(visible.begin() + 4 * i, visible.begin() + 4 * i + 4);
    CHECK(all.size() == 16);
    different.insert({visible.begin() + 4 * i, visible.begin() + 4 * i + 4});
  }
  CHECK(different.size() == 6);
  CHECK(mask.of(Rng(3), 5, ids(2, 4), 16, kCpu).visible.values<std::int64_t>() ==
        std::vector<std::int64_t>(visible.begin() + 16, visible.end()));
  CHECK(mask.of(Rng(3), 6, ids(6), 16, kCpu).visible.values<std::int64_t>() != visible);
}

TEST_CASE("mae: two views of .6 hide everything once, and a fifth of it twice") {
  const auto at = PatchMask{.6, 2}.of(Rng(3), 1, ids(3), 20, kCpu);
  const auto hidden = at.hidden.values<std::int64_t>();
  for (std::ptrdiff_t i = 0; i < 3; ++i) {
    const std::set<std::int64_t> first(hidden.begin() + 24 * i, hidden.begin() + 24 * i + 12);
    std::set<std::int64_t> both = first;
    int twice = 0;
    for (std::ptrdiff_t k = 12; k < 24; ++k) {
      twice += first.contains(hidden[static_cast<std::size_t>(24 * i + k)]);
      both.insert(hidden[static_cast<std::size_t>(24 * i + k)]);
    }
    CHECK(both.size() == 20);
    CHECK(twice == 4);
  }
}

TEST_CASE("mae: predictions stand where patches are hidden; a tap ends the forward") {
  const Tensor x = images(3);
  for (const int views : {1, 2}) {
    const Mae m = small(.5, views);
    Ctx ctx;
    ctx.samples = ids(3);
    ctx.wanted = {{"blocks.1"}, {"norm"}};
    CHECK(m.forward(x, ctx).shape() == Shape{3, 8 * views, 4});
    CHECK(ctx.tapped[0].shape() == Shape{3 * views, 9, 8});
    CHECK(ctx.tapped[1].shape() == Shape{3, 8 * views, 8});
    Ctx early;
    early.samples = ids(3);
    early.wanted = {{"blocks.1"}};
    early.stop_after_taps = true;
    CHECK_FALSE(m.forward(x, early).defined());
    CHECK(early.tapped[0].values() == ctx.tapped[0].values());
  }
  CHECK_THROWS_AS(small(.01), ConfigError);
}

TEST_CASE("mae: hidden pixels change nothing that is computed; visible ones do; another step sees others") {
  const Mae m = small(.5);
  const Tensor x = images(2);
  const auto at = m.config.mask.of(Rng(0), 0, ids(2), 16, kCpu);
  const auto answer = [&](const Tensor& input, std::uint32_t step = 0) {
    Ctx ctx;
    ctx.samples = ids(2);
    ctx.step = step;
    return m.forward(input, ctx).values();
  };
  const auto disturbed = [&](std::int64_t patch) {
    std::vector<double> v = x.values();
    v[static_cast<std::size_t>(patch / 4 * 16 + patch % 4 * 2)] += 1;
    return Tensor::from(v, x.shape(), DType::f64);
  };
  CHECK(answer(disturbed(at.hidden.values<std::int64_t>()[0])) == answer(x));
  CHECK(answer(disturbed(at.visible.values<std::int64_t>()[0])) != answer(x));
  CHECK(answer(x, 1) != answer(x));
  CHECK(token_rows(patches_of(x, 2), at.hidden).shape() == Shape{2, 8, 4});
}
