// tests/distill/dsa_test.cpp -- differentiable augmentation: what each change does, that siamese batches share it, and
// its gradient; synthetic sets with smaller images inside.
#include "distill/data/dsa.h"

#include <doctest/doctest.h>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "distill/data/pixel_set.h"
#include "tests/distill/inner_fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor image(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
  std::vector<double> v(static_cast<std::size_t>(n * c * h * w));
  fill_normal(std::span<double>(v), Rng(5).stream("image"), 0);
  return Tensor::from(v, {n, c, h, w}, DType::f64);
}
const std::vector<double> kStay{1, 0, 0, 0, 1, 0};
}  // namespace

TEST_CASE("dsa: whole shifts and mirrors move pixels, what lies outside is 0") {
  const Tensor x = image(2, 1, 2, 3);
  const auto v = x.values();
  CHECK(dsa_affine(x, kStay).values() == v);
  CHECK(dsa_affine(x, std::vector<double>{-1, 0, 0, 0, 1, 0}).values() ==
        std::vector<double>{v[2], v[1], v[0], v[5], v[4], v[3], v[8], v[7], v[6], v[11], v[10], v[9]});
  // One pixel to the right is 2 / width; each image its own map.
  CHECK(dsa_affine(x, std::vector<double>{1, 0, 2. / 3, 0, 1, 0, 1, 0, 0, 0, 1, -1}).values() ==
        std::vector<double>{v[1], v[2], 0, v[4], v[5], 0, 0, 0, 0, v[6], v[7], v[8]});
}

TEST_CASE("dsa: cutout clears a square that borders clip; colour keeps the formulas' order") {
  const Tensor x = Tensor::full({1, 1, 4, 4}, 1, DType::f64);
  const std::int64_t row[] = {0}, column[] = {2};
  CHECK(dsa_cutout(x, 2, row, column).values() == std::vector<double>{1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  const Tensor two = Tensor::from(std::vector<double>{1, 3}, {1, 2, 1, 1}, DType::f64);
  const double u[] = {.75}, s[] = {.25}, k[] = {1};
  // + .25: 1.25, 3.25; saturation .5 about 2.25: 1.75, 2.75; contrast 1.5 about 2.25: 1.5, 3.
  CHECK(dsa_colour(two, u, s, k).values() == std::vector<double>{1.5, 3});
  const double none[] = {.5};
  CHECK(dsa_colour(two, none, none, none).values() == std::vector<double>{1, 3});
}

TEST_CASE("dsa: siamese calls change any two batches alike, own draws differ between images") {
  const Tensor x = image(1, 2, 6, 6), twice = concat(Tensors{x, x}, 0);
  const Tensor ids = InnerFixture::arange_ids(2);
  Dsa dsa;
  int same = 0, changed = 0;
  for (std::uint32_t step = 0; step < 60; ++step) {
    const RngKey key = Rng(1).stream("dsa", step);
    dsa.siamese = true;
    const auto one = dsa(x, key, {}).values(), both = dsa(twice, key, ids).values();
    CHECK(std::vector<double>(both.begin(), both.begin() + 72) == one);
    CHECK(std::vector<double>(both.begin() + 72, both.end()) == one);
    changed += one != x.values();
    dsa.siamese = false;
    const auto own = dsa(twice, key, ids).values();
    same += std::equal(own.begin(), own.begin() + 72, own.begin() + 72);
  }
  CHECK(changed > 40);
  CHECK(same < 20);
  CHECK_THROWS_WITH_AS(Dsa::parse("color_flipp", "here"), doctest::Contains("flip"), ConfigError);
}

TEST_CASE("dsa: every change is differentiable in the image") {
  for (const char* op : {"color", "crop", "cutout", "flip", "scale", "rotate"})
    for (const bool siamese : {true, false}) {
      CAPTURE(op);
      Dsa dsa;
      dsa.ops = Dsa::parse(op, "test");
      dsa.siamese = siamese;
      const Tensor x = image(2, 2, 4, 4), direction = image(2, 2, 4, 4) * .7;
      const RngKey key = Rng(2).stream("dsa", 3);
      const Tensor ids = InnerFixture::arange_ids(2);
      const auto value = [&](const Tensor& at) { return sum(dsa(at, key, ids) * dsa(at, key, ids) * x); };
      Tape tape;
      const Tensor leaf = tape.watch(x);
      const Tensor g = tape.gradients(value(leaf), std::span(&leaf, 1))[0];
      constexpr double h = 1e-6;
      const double numeric = (value(x + direction * h).item() - value(x - direction * h).item()) / (2 * h);
      CHECK(sum(g * direction).item() == doctest::Approx(numeric).epsilon(1e-7));
    }
}

TEST_CASE("sets: smaller images inside one are enlarged; a factor of 1 changes nothing; mirrors double the labels") {
  const auto rows = [](const std::string& how, bool constant) {
    InnerFixture f("pixels(ipc=1 classes=2 channels=1 height=4 width=4 " + how + ")",
                   {.in = 16, .classes = 2, .widths = {}});
    if (constant) f.set("syn", "x", std::vector<double>(32, .25));
    Ctx ctx;
    return std::pair(f.syn().rows({}, ctx), f.syn().x.value.values());
  };
  const auto [plain, pixels] = rows("decode=1", false);
  CHECK(plain.x.values() == pixels);
  const auto [small, same] = rows("decode=2", true);
  CHECK(small.x.size(0) == 8);
  for (const double v : small.x.values()) CHECK(v == doctest::Approx(.25).epsilon(1e-14));
  CHECK(small.label.values<std::int64_t>() == std::vector<std::int64_t>{0, 1, 0, 1, 0, 1, 0, 1});
  const auto [mirrored, p] = rows("flip=true", false);
  CHECK(mirrored.label.values<std::int64_t>() == std::vector<std::int64_t>{0, 1, 0, 1});
  CHECK(mirrored.x.values()[32] == p[3]);
  CHECK_THROWS_AS(rows("decode=3", false), ConfigError);
}
