// tests/nn/schedule_test.cpp -- end points and middles of schedules.
#include "nn/optim/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/error.h"

using namespace retort;
using ScheduleKind = Schedule::Kind;

TEST_CASE("schedule: warmup is linear, never zero, and ends at the base") {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::step}) {
    const Schedule s{.kind = kind, .base = 2, .floor = 0.1, .warmup = 4};
    CHECK(s(0, 100) == doctest::Approx(2 * 0.2));
    CHECK(s(3, 100) == doctest::Approx(2 * 0.8));
    CHECK(s(4, 100) == doctest::Approx(2));
  }
  const Schedule fraction{.kind = ScheduleKind::linear, .warmup = 0.1};
  CHECK(fraction(10, 100) == 1);
  CHECK(fraction(9, 100) == doctest::Approx(10. / 11));
}

TEST_CASE("schedule: linear and cosine go from the base to the floor") {
  const Schedule linear{.kind = ScheduleKind::linear, .base = 2, .floor = 0.25, .warmup = 20};
  CHECK(linear(60, 100) == doctest::Approx(2 * 0.625));
  CHECK(linear(100, 100) == doctest::Approx(0.5));
  CHECK(linear(500, 100) == doctest::Approx(0.5));
  const Schedule cosine{.kind = ScheduleKind::cosine, .base = 2, .floor = 0.25, .warmup = 20};
  CHECK(cosine(60, 100) == doctest::Approx(2 * 0.625));
  CHECK(cosine(40, 100) == doctest::Approx(2 * (0.25 + 0.75 * (1 + std::sqrt(0.5)) / 2)));
  CHECK(cosine(100, 100) == doctest::Approx(0.5));
  const Schedule constant{.base = 3};
  CHECK(constant(0, 1) == 3);
  CHECK(constant(99, 100) == 3);
}

TEST_CASE("schedule: step decay multiplies at each milestone, one_cycle rises and falls") {
  const Schedule step{.kind = ScheduleKind::step, .base = 0.05, .milestones = {0.5, 75, 90}, .gamma = 0.1};
  CHECK(step(49, 100) == 0.05);
  CHECK(step(50, 100) == doctest::Approx(0.005));
  CHECK(step(75, 100) == doctest::Approx(5e-4));
  CHECK(step(99, 100) == doctest::Approx(5e-5));
  const Schedule cycle{.kind = ScheduleKind::one_cycle, .base = 1, .floor = 1e-4, .warmup = 0.3, .start = 0.04};
  CHECK(cycle(0, 100) == doctest::Approx(0.04));
  CHECK(cycle(15, 100) == doctest::Approx(0.52));
  CHECK(cycle(30, 100) == doctest::Approx(1));
  CHECK(cycle(65, 100) == doctest::Approx(0.50005));
  CHECK(cycle(100, 100) == doctest::Approx(1e-4));
}

TEST_CASE("schedule: errors") {
  CHECK(schedule_kind("cosine") == ScheduleKind::cosine);
  CHECK_THROWS_WITH_AS(schedule_kind("cosin"), doctest::Contains("one_cycle"), ConfigError);
  CHECK_THROWS_AS(Schedule{}(0, 0), ValueError);
  CHECK_THROWS_AS((Schedule{.warmup = 20}(0, 10)), ValueError);
}
