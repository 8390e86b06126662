// tests/distill/controller_test.cpp -- numbers that follow what happened: multipliers of constraints, layer curricula.
#include "distill/train/controller.h"

#include <doctest/doctest.h>

#include "tensor/error.h"

using namespace retort;

namespace {
std::shared_ptr<Controller> made(const std::string& call) { return make_controller(parse_call(call, "test")); }
}  // namespace

TEST_CASE("controllers: a multiplier rises while the constraint is broken, falls to 0 while it holds") {
  const auto dual = made("dual(term=bound target=.5 rate=2 start=1)");
  CHECK(dual->number() == 1);
  dual->update({{"loss/other", 9}, {"loss/bound", .75}}, {});
  CHECK(dual->number() == doctest::Approx(1.5));
  dual->update({{"loss/other", 9}}, {});  // not measured at this step
  CHECK(dual->number() == doctest::Approx(1.5));
  for (int i = 0; i < 9; ++i) dual->update({{"loss/bound", .25}}, {});
  CHECK(dual->number() == 0);  // not negative
}

TEST_CASE("controllers: a student climbs from the most similar layer, by similarity or by patience") {
  const auto climb = made("climb(term=cka layers=4 threshold=.8 patience=2)");
  CHECK(climb->number() == 1);
  const auto step = [&](double epoch, const std::vector<double>& similar) {
    Metrics metrics{{"loss/total", 1}};
    for (std::size_t i = 0; i < similar.size(); ++i)
      metrics.emplace_back("loss/cka" + std::to_string(i + 1), 1 - similar[i]);
    climb->update(metrics, {.epoch = epoch});
    return climb->number();
  };
  CHECK(step(0, {.3, .6, .5, .1}) == 2);   // the most similar, below the threshold
  CHECK(step(.5, {.9, .7, .9, .9}) == 2);  // other layers do not count
  CHECK(step(1, {.3, .85, .5, .1}) == 3);  // reached
  CHECK(step(1.5, {.3, .85, .5, .1}) == 3);
  CHECK(step(2.5, {.3, .85, .5, .1}) == 3);
  CHECK(step(3, {.3, .85, .5, .1}) == 4);   // two epochs on one layer
  CHECK(step(9, {.3, .85, .5, .99}) == 4);  // no layer above the last
  const auto slow = made("climb(term=cka layers=2 threshold=.5 patience=99 rate=.5)");
  const Metrics same{{"loss/cka1", .2}, {"loss/cka2", .9}};  // .8: the average is .4, then .6
  slow->update(same, {});
  CHECK(slow->number() == 1);
  slow->update(same, {});
  CHECK(slow->number() == 2);
  CHECK_THROWS_AS(made("climb(term=cka layers=2 threshold=.5)"), ConfigError);
  CHECK_THROWS_AS(made("climber(term=cka)"), ConfigError);
}
