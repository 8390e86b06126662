// tests/distill/spread_test.cpp -- mean and deviation of seeds.
#include "distill/train/spread.h"

#include <doctest/doctest.h>

#include <vector>

using namespace retort;

TEST_CASE("spread: the deviation divides by n - 1, and one seed has none") {
  const Spread s = spread_of(std::vector<double>{1, 2, 4, 9});
  CHECK(s.mean == 4);
  CHECK(s.deviation == doctest::Approx(3.5590260840104371).epsilon(1e-14));  // sqrt(38 / 3)
  CHECK(spread_of(std::vector<double>{7}).mean == 7);
  CHECK(spread_of(std::vector<double>{7}).deviation == 0);
}
