// tests/distill/augment_test.cpp -- augmentations: exact cases by hand, statistics of their draws, streams, parsing.
#include "distill/data/augment.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "tests/distill/data_fixture.h"

using namespace retort;
using namespace retort::test;

namespace {

/// A float image that owns its pixels.
struct Picture {
  int height, width, channels;
  std::vector<float> pixels;
  FloatImage view() { return {pixels.data(), height, width, channels}; }
};

/// Pixel k of channel c holds k + 100 c.
Picture counted(int height, int width, int channels) {
  Picture picture{height, width, channels, {}};
  for (int k = 0; k < height * width; ++k)
    for (int c = 0; c < channels; ++c) picture.pixels.push_back(static_cast<float>(k + 100 * c));
  return picture;
}

template <class F>
std::vector<float> changed(Picture picture, F&& change) {
  change(picture.view());
  return picture.pixels;
}

void check_close(const std::vector<float>& got, const std::vector<float>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(want[i]).epsilon(1e-6));
}

Augmenter augmenter(const std::string& list, const Shape& shape, std::vector<float> mean = {}) {
  mean.resize(static_cast<std::size_t>(shape[0]), 0.5f);
  return Augmenter(plan(list).images, Rng(11), "data/augment", shape, mean);
}

/// |count - n p| within 4.5 standard deviations.
bool plausible(double count, double n, double p) {
  return std::abs(count - n * p) <= 4.5 * std::sqrt(n * p * (1 - p)) + 1e-9;
}

}  // namespace

TEST_CASE("augment: a flip mirrors rows and keeps pixels whole") {
  CHECK(changed(counted(2, 3, 1), flip_horizontal) == std::vector<float>{2, 1, 0, 5, 4, 3});
  CHECK(changed(counted(1, 2, 3), flip_horizontal) == std::vector<float>{1, 101, 201, 0, 100, 200});
}

TEST_CASE("augment: a shift shows black or the mirror image beyond the border") {
  const auto moved = [](int dy, int dx, Padding padding, int channels = 1) {
    return changed(counted(3, 3, channels), [&](FloatImage image) { shift(image, dy, dx, padding); });
  };
  CHECK(moved(1, 0, Padding::black) == std::vector<float>{3, 4, 5, 6, 7, 8, 0, 0, 0});
  CHECK(moved(-1, 2, Padding::black) == std::vector<float>{0, 0, 0, 2, 0, 0, 5, 0, 0});
  CHECK(moved(5, 0, Padding::black) == std::vector<float>(9, 0));
  CHECK(moved(0, -5, Padding::black) == std::vector<float>(9, 0));
  CHECK(moved(1, 0, Padding::reflect) == std::vector<float>{3, 4, 5, 6, 7, 8, 3, 4, 5});
  CHECK(moved(0, -2, Padding::reflect) == std::vector<float>{2, 1, 0, 5, 4, 3, 8, 7, 6});
  CHECK(moved(-2, 2, Padding::reflect) == std::vector<float>{8, 7, 6, 5, 4, 3, 2, 1, 0});
  CHECK(changed(counted(1, 2, 2), [](FloatImage image) { shift(image, 0, 1, Padding::black); }) ==
        std::vector<float>{1, 101, 0, 0});
}

TEST_CASE("augment: a box is clipped at the border and painted in one colour") {
  const FloatImage image{nullptr, 6, 8, 1};
  CHECK(clipped_box(3, 4, 2, 3, image) == Box{2, 3, 2, 3});
  CHECK(clipped_box(0, 0, 4, 5, image) == Box{0, 0, 2, 3});
  CHECK(clipped_box(5, 7, 4, 4, image) == Box{3, 5, 3, 3});
  CHECK(clipped_box(2, 2, 99, 0, image) == Box{0, 2, 6, 0});
  const std::vector<float> colour = {7, 8};
  CHECK(changed(counted(2, 2, 2), [&](FloatImage i) {
          fill_box(i, {0, 1, 2, 1}, colour);
        }) == std::vector<float>{0, 100, 7, 8, 2, 102, 7, 8});
}

TEST_CASE("augment: brightness, contrast, saturation and hue by hand") {
  const Picture rgb{1, 2, 3, {0.8f, 0.4f, 0.2f, 0.5f, 0.5f, 0.5f}};
  const Picture gray{1, 2, 1, {0.2f, 0.6f}};
  const auto by = [](auto change, float amount) {
    return [change, amount](FloatImage image) { change(image, amount); };
  };
  check_close(changed(rgb, by(adjust_brightness, 1.5f)), {1.0f, 0.6f, 0.3f, 0.75f, 0.75f, 0.75f});
  check_close(changed(gray, by(adjust_brightness, 0.0f)), {0, 0});
  check_close(changed(gray, by(adjust_contrast, 0.5f)), {0.3f, 0.5f});
  check_close(changed(gray, by(adjust_contrast, 4.0f)), {0.0f, 1.0f});
  // Luma of the first pixel: .299 * .8 + .587 * .4 + .114 * .2 = .4968; the image's mean is .4984.
  check_close(changed(rgb, by(adjust_contrast, 0.0f)), std::vector<float>(6, 0.4984f));
  check_close(changed(rgb, by(adjust_saturation, 0.0f)), {0.4968f, 0.4968f, 0.4968f, 0.5f, 0.5f, 0.5f});
  check_close(changed(rgb, by(adjust_saturation, 1.0f)), rgb.pixels);
  // Hue 20 degrees turned by half a circle is 200 degrees.
  check_close(changed(rgb, by(adjust_hue, 0.5f)), {0.2f, 0.6f, 0.8f, 0.5f, 0.5f, 0.5f});
  check_close(changed(rgb, by(adjust_hue, -0.5f)), {0.2f, 0.6f, 0.8f, 0.5f, 0.5f, 0.5f});
  const Picture primaries{1, 3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1}};
  check_close(changed(primaries, by(adjust_hue, 1.0f / 3)), {0, 1, 0, 0, 0, 1, 1, 0, 0});
  check_close(changed(primaries, by(adjust_hue, -1.0f / 3)), {0, 0, 1, 1, 0, 0, 0, 1, 0});
  check_close(changed(primaries, by(adjust_hue, 1.0f / 6)), {1, 1, 0, 0, 1, 1, 1, 0, 1});
  check_close(changed({1, 1, 3, {1, 0, 1}}, by(adjust_hue, -0.5f)), {0, 1, 0});
  CHECK(changed(gray, by(adjust_hue, 0.3f)) == gray.pixels);
  CHECK(changed(gray, by(adjust_saturation, 0.0f)) == gray.pixels);
}

TEST_CASE("augment: one uniform draw is the number fill_uniform gives") {
  const AugmentDraw draw{Rng(3).stream("x", 17), 1234, {}};
  for (std::uint64_t element = 0; element < 9; ++element) {
    float want = 0;
    fill_uniform(std::span(&want, 1), draw.key, draw.row, element);
    CHECK(draw.uniform(element) == want);
  }
}

TEST_CASE("augment: flips come at their rate, and crops reach every offset equally often") {
  const Augmenter flip = augmenter("[flip(p=0.3)]", {1, 1, 2}), crop = augmenter("[crop(pad=1)]", {1, 3, 3});
  int flips = 0;
  std::map<std::vector<float>, int> offsets;
  constexpr int kSteps = 30, kRows = 300, kDraws = kSteps * kRows;
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    for (std::uint64_t row = 0; row < kRows; ++row) {
      flips += changed(counted(1, 2, 1), [&](FloatImage i) { flip(i, step, row); })[0] == 1;
      ++offsets[changed(counted(3, 3, 1), [&](FloatImage i) { crop(i, step, row); })];
    }
  }
  CHECK(plausible(flips, kDraws, 0.3));
  REQUIRE(offsets.size() == 9);
  for (const auto& [pixels, count] : offsets) CHECK(plausible(count, kDraws, 1.0 / 9));
  for (const char* never : {"[flip(p=0)]", "[cutout(size=1 p=0)]", "[jitter(brightness=.5 p=0)]", "[jitter()]"})
    CHECK(changed(counted(1, 2, 1), [&](FloatImage i) { augmenter(never, {1, 1, 2})(i, 0, 0); })[0] == 0);
}

TEST_CASE("augment: cutout paints a clipped square around a uniformly drawn pixel in the mean colour") {
  const Augmenter cutout = augmenter("[cutout(size=3 p=0.5)]", {2, 5, 6}, {0.25f, 0.75f});
  const Augmenter black = augmenter("[cutout(size=3 p=0.5 fill=black)]", {2, 5, 6});
  std::map<std::set<int>, int> painted;
  constexpr int kDraws = 6000;
  for (std::uint64_t row = 0; row < kDraws; ++row) {
    const Picture ones{5, 6, 2, std::vector<float>(60, 1)};
    const auto pixels = changed(ones, [&](FloatImage i) { cutout(i, 3, row); });
    const auto dark = changed(ones, [&](FloatImage i) { black(i, 3, row); });
    std::set<int> where;
    for (std::size_t k = 0; k < 30; ++k) {
      if (pixels[2 * k] == 1) continue;
      where.insert(static_cast<int>(k));
      REQUIRE(pixels[2 * k] == 0.25f);
      REQUIRE(pixels[2 * k + 1] == 0.75f);
      REQUIRE(dark[2 * k] == 0);
    }
    ++painted[where];
  }
  CHECK(plausible(painted[std::set<int>{}], kDraws, 0.5));
  painted.erase(std::set<int>{});
  // A square of odd size is told by its centre, so each of the 30 has its own set of pixels.
  CHECK(painted.size() == 30);
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 6; ++x) {
      std::set<int> square;
      for (int v = std::max(0, y - 1); v <= std::min(4, y + 1); ++v)
        for (int u = std::max(0, x - 1); u <= std::min(5, x + 1); ++u) square.insert(6 * v + u);
      CHECK(plausible(painted[square], kDraws, 0.5 / 30));
    }
  }
}

TEST_CASE("augment: brightness factors are uniform in their range") {
  const Augmenter jitter = augmenter("[jitter(brightness=0.4)]", {1, 1, 1});
  std::vector<int> bins(8);
  constexpr int kDraws = 8000;
  for (std::uint64_t row = 0; row < kDraws; ++row) {
    const float v = changed({1, 1, 1, {0.5f}}, [&](FloatImage i) { jitter(i, 0, row); })[0];
    REQUIRE(v >= 0.3f);
    REQUIRE(v <= 0.7f);
    ++bins[static_cast<std::size_t>(std::min(7.0f, (v - 0.3f) / 0.05f))];
  }
  for (const int count : bins) CHECK(plausible(count, kDraws, 0.125));
}

TEST_CASE("augment: each augmentation has its own stream, whatever else is in the list") {
  const Shape shape{1, 8, 8};
  const auto once = augmenter("[cutout(size=2)]", shape), twice = augmenter("[cutout(size=2), cutout(size=2)]", shape);
  const auto flip = augmenter("[flip()]", shape), later = augmenter("[crop(pad=1), flip()]", shape);
  const auto crop = augmenter("[crop(pad=1)]", shape);
  int second_elsewhere = 0, by_step = 0, flipped = 0;
  for (std::uint64_t row = 0; row < 40; ++row) {
    const auto run = [&](const Augmenter& a, std::uint32_t step = 5) {
      return changed(counted(8, 8, 1), [&](FloatImage i) { a(i, step, row); });
    };
    CHECK(run(once) == run(once));
    second_elsewhere += run(twice) != run(once);
    by_step += run(once, 6) != run(once);
    const bool mirrored = run(flip) != counted(8, 8, 1).pixels;
    flipped += mirrored;
    CHECK((run(later) != run(crop)) == mirrored);
    CHECK(mirrored == (AugmentDraw{Rng(11).stream("data/augment/flip", 5), row, {}}.uniform(0) < 0.5f));
  }
  CHECK(second_elsewhere > 30);
  CHECK(by_step > 30);
  CHECK(flipped > 8);
}

TEST_CASE("augment: symmetric Beta draws have their moments, also where Gamma draws underflow") {
  for (const double alpha : {0.2, 1.0, 3.0}) {
    double mean = 0, square = 0;
    constexpr int kDraws = 20000;
    for (std::uint32_t step = 0; step < kDraws; ++step) {
      const double v = draw_beta(alpha, Rng(5).stream("beta", step));
      REQUIRE(v >= 0);
      REQUIRE(v <= 1);
      mean += v / kDraws;
      square += (v - 0.5) * (v - 0.5) / kDraws;
    }
    const double variance = 1 / (4 * (2 * alpha + 1));
    CHECK(std::abs(mean - 0.5) < 4.5 * std::sqrt(variance / kDraws));
    CHECK(square == doctest::Approx(variance).epsilon(0.03));
  }
  int ends[2] = {0, 0};
  for (std::uint32_t step = 0; step < 1000; ++step) {
    const double v = draw_beta(1e-4, Rng(5).stream("beta", step));
    if (v < 1e-9 || v > 1 - 1e-9) ++ends[v > 0.5];
  }
  CHECK(ends[0] + ends[1] > 980);
  CHECK(plausible(ends[0], 1000, 0.5));
  CHECK_THROWS_AS(draw_beta(0, {}), ValueError);
}

TEST_CASE("augment: partners are other rows of the global batch, each once") {
  const Mixing mixing = plan("[mixup()]").mixing;
  std::set<std::int64_t> shifts;
  for (const std::int64_t batch : {2, 3, 7}) {
    for (std::uint32_t step = 0; step < 60; ++step) {
      const MixDraw draw = draw_mix(mixing, Rng(1).stream("mix", step), batch, {nullptr, 4, 4, 1});
      REQUIRE(draw.kind == MixDraw::Kind::mixup);
      std::set<std::int64_t> partners;
      for (std::int64_t row = 0; row < batch; ++row) {
        const std::int64_t partner = draw.partner(row, batch);
        REQUIRE(partner != row);
        REQUIRE(partner >= 0);
        REQUIRE(partner < batch);
        partners.insert(partner);
      }
      CHECK(static_cast<std::int64_t>(partners.size()) == batch);
      if (batch == 7) shifts.insert(draw.shift);
    }
  }
  CHECK(shifts.size() == 6);
  CHECK_THROWS_AS(draw_mix(mixing, {}, 1, {nullptr, 4, 4, 1}), ValueError);
}

TEST_CASE("augment: a step takes mixup or cutmix at their rates; cutmix's lambda is what is left of the image") {
  const Mixing mixing = plan("[mixup(alpha=.5 p=.3), cutmix(p=.5)]").mixing;
  std::map<MixDraw::Kind, int> kinds;
  double area = 0;
  constexpr int kDraws = 6000;
  for (std::uint32_t step = 0; step < kDraws; ++step) {
    const MixDraw draw = draw_mix(mixing, Rng(2).stream("mix", step), 16, {nullptr, 200, 300, 1});
    ++kinds[draw.kind];
    if (draw.kind == MixDraw::Kind::none) REQUIRE(draw.lambda == 1);
    if (draw.kind != MixDraw::Kind::cutmix) continue;
    const Box& box = draw.box;
    REQUIRE(std::min({box.top, box.left, box.height, box.width}) >= 0);
    REQUIRE(box.top + box.height <= 200);
    REQUIRE(box.left + box.width <= 300);
    REQUIRE(draw.lambda == static_cast<float>(1 - box.height * box.width / 60000.0));
    area += box.height * box.width / 60000.0;
  }
  CHECK(plausible(kinds[MixDraw::Kind::mixup], kDraws, 0.3));
  CHECK(plausible(kinds[MixDraw::Kind::cutmix], kDraws, 0.5));
  // For Beta(1, 1) a side s has density 2 s and loses a quarter of itself to the border on average: the kept part of
  // each axis is E[s - s^2 / 4] with both axes sharing s, so the area is E[(s - s^2 / 4)^2] = 1/2 - 1/5 + 1/48.
  CHECK(area / kinds[MixDraw::Kind::cutmix] == doctest::Approx(0.5 - 0.2 + 1.0 / 48).epsilon(0.05));
}

TEST_CASE("augment: mixing by hand") {
  MixDraw draw;
  draw.kind = MixDraw::Kind::mixup;
  draw.lambda = 0.75f;
  const std::vector<float> other = {4, 8, 12, 16};
  CHECK(changed(counted(2, 2, 1), [&](FloatImage i) { mix(i, other.data(), draw); }) ==
        std::vector<float>{1, 2.75f, 4.5f, 6.25f});
  draw.kind = MixDraw::Kind::cutmix;
  draw.box = {1, 0, 1, 2};
  CHECK(changed(counted(2, 2, 1), [&](FloatImage i) { mix(i, other.data(), draw); }) ==
        std::vector<float>{0, 1, 12, 16});
  draw.kind = MixDraw::Kind::none;
  CHECK(changed(counted(2, 2, 1), [&](FloatImage i) { mix(i, other.data(), draw); }) == std::vector<float>{0, 1, 2, 3});
}

TEST_CASE("augment: a list of calls is read strictly") {
  const AugmentPlan all = plan(kEverything);
  REQUIRE(all.images.size() == 4);
  CHECK(std::get<PaddedCrop>(all.images[1]).padding == Padding::reflect);
  CHECK(std::get<Cutout>(all.images[2]).size == 3);
  CHECK(std::get<ColourJitter>(all.images[3]).hue == 0.1);
  CHECK(all.mixing.cutmix->p == 0.5);
  CHECK(all.mixing.mixup->alpha == 1);
  CHECK(plan("[]").images.empty());
  CHECK(plan("null").images.empty());
  CHECK(contains(error_of([] { plan("[flop()]"); }), "flip"));
  CHECK(contains(error_of([] { plan("[flip(q=1)]"); }), "q"));
  CHECK(contains(error_of([] { plan("[flip(p=1.5)]"); }), "p"));
  CHECK(contains(error_of([] { plan("[crop()]"); }), "pad"));
  CHECK(contains(error_of([] { plan("[crop(pad=2 padding=mirror)]"); }), "padding is one of black, reflect"));
  CHECK(contains(error_of([] { plan("[mixup(p=.6), cutmix(p=.6)]"); }), "more than 1"));
  CHECK(contains(error_of([] { plan("[mixup(p=.1), mixup(p=.1)]"); }), "at most one"));
  CHECK(contains(error_of([] { plan("[jitter(hue=.6)]"); }), "hue"));
  CHECK(contains(error_of([] { plan("flip()"); }), "augment"));
}
