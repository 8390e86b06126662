// tests/nn/init_test.cpp -- first values: laws, fans, independence of order, layout and dtype.
#include "nn/init.h"

#include <cmath>

#include "tensor/write.h"
#include "tests/nn/fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
struct Moments {
  double mean, std, largest;
};
Moments moments(const Tensor& t) {
  Moments m{0, 0, 0};
  const std::vector<double> values = t.values();
  for (const double v : values) m.mean += v / static_cast<double>(values.size());
  for (const double v : values) {
    m.std += (v - m.mean) * (v - m.mean) / static_cast<double>(values.size());
    m.largest = std::max(m.largest, std::abs(v));
  }
  m.std = std::sqrt(m.std);
  return m;
}
/// A module with one parameter, named p0.
Bag one(const Shape& shape, Init init) {
  Bag m;
  m.items.emplace_back(shape, init);
  return m;
}
}  // namespace

TEST_CASE("init: laws have their moments and bounds") {
  const Shape shape{64, 32, 3, 3};  // fan.in 288, fan.out 576; 18432 values: 3 standard errors of a deviation are 1.6 %
  struct Expected {
    Init init;
    double std, bound;
  };
  const double xavier = std::sqrt(2. / (288 + 576)), he = std::sqrt(2. / 288), root3 = std::sqrt(3.);
  for (const Expected& e :
       {Expected{Init::he_normal(shape), he, 7 * he}, Expected{Init::he_uniform(shape), he, root3 * he},
        Expected{Init::xavier_normal(shape), xavier, 7 * xavier},
        Expected{Init::xavier_uniform(shape), xavier, root3 * xavier},
        Expected{Init::truncated_normal(0.02), 0.02 * 0.8796, 0.04}, Expected{Init::normal(0.5), 0.5, 3.5}}) {
    Bag m = one(shape, e.init);
    initialize(m, Rng(1));
    const Moments got = moments(m.items[0].value);
    CHECK(got.std == doctest::Approx(e.std).epsilon(0.016));
    CHECK(std::abs(got.mean) < 3 * e.std / std::sqrt(18432.));
    CHECK(got.largest <= e.bound);
    CHECK(got.largest > 0.98 * std::min(e.bound, 3 * e.std));
  }
  Bag m = one({5}, Init::constant(1));
  initialize(m, Rng(1));
  CHECK(m.items[0].value.values() == std::vector<double>(5, 1.0));
}

TEST_CASE("init: values depend on seed and name alone") {
  const Shape shape{6, 4, 3, 3};
  Bag a;
  a.items.emplace_back(Shape{100}, Init::normal(1));
  a.items.emplace_back(shape, Init::truncated_normal(1));
  initialize(a, Rng(3));
  // The same name in another module, alone, row-major, in f64, and drawn a second time.
  struct Other : Module {
    Parameter p{Tensor::zeros({6, 4, 3, 3}, DType::f64)};
    void visit(Visitor& v) override { v("p1", p); }
  } b;
  b.p.init = Init::truncated_normal(1);
  CHECK(a.items[1].value.layout().channels_last());
  CHECK(b.p.value.layout().contiguous());
  for (int repeat = 0; repeat < 2; ++repeat) {
    initialize(b, Rng(3));
    CHECK(b.p.value.values<float>() == a.items[1].value.values<float>());
  }
  initialize(b, Rng(4));
  CHECK(b.p.value.values<float>() != a.items[1].value.values<float>());
  Bag c = a;
  c.items[0] = a.items[1];
  initialize(c, Rng(3));
  CHECK(c.items[0].value.values() != a.items[1].value.values());
}

TEST_CASE("init: shadows follow, and a vector has no fans") {
  Bag m = one({40, 30}, Init::xavier_uniform({40, 30}));
  set_shadows(m, DType::bf16);
  initialize(m, Rng(1));
  const Tensor rounded = Tensor::empty({40, 30}, DType::bf16);
  assign_(rounded, m.items[0].value);
  CHECK(m.items[0].shadow.values() == rounded.values());
  CHECK_THROWS_AS(fans_of({3}), ShapeError);
  CHECK(fans_of({8, 2, 3, 3}).in == 18);
  CHECK(fans_of({8, 2, 3, 3}).out == 72);
}
