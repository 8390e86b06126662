// tests/distill/diffusion/times_test.cpp -- table `times`: laws, pairs, and draws that do not depend on the batch.
#include "distill/diffusion/times.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "distill/diffusion/grid.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
Tensor ids(std::int64_t n, std::int64_t first = 0) {
  std::vector<std::int64_t> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(first + i);
  return Tensor::of<std::int64_t>(v, {n});
}
using Program = std::vector<std::pair<std::string, std::string>>;
Times draw(const Program& program, const NoiseSchedule& s, std::int64_t n = 4000, std::int64_t first = 0,
           double progress = 0, std::uint32_t step = 3) {
  std::vector<NamedLaw> laws;
  for (const auto& [name, text] : program) laws.push_back({name, make_time_law(parse_call(text, "test"), s)});
  return draw_times(laws, Rng(7), "term", step, ids(n, first),
                    Clock{.step = std::llround(1000 * progress), .steps = 1000});
}
std::vector<double> one(const std::string& text, const NoiseSchedule& s, std::int64_t n = 4000) {
  return draw({{"t", text}}, s, n).at("t").values();
}
double mean_of(const std::vector<double>& v) {
  double total = 0;
  for (const double x : v) total += x;
  return total / static_cast<double>(v.size());
}
double deviation_of(std::vector<double> v) {
  const double mean = mean_of(v);
  for (double& x : v) x = (x - mean) * (x - mean);
  return std::sqrt(mean_of(v));
}
std::pair<double, double> range_of(const std::vector<double>& v) {
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  return {*low, *high};
}
template <class F>
std::vector<double> mapped(std::vector<double> v, F f) {
  std::transform(v.begin(), v.end(), v.begin(), f);
  return v;
}
const double kError = 4 / std::sqrt(4000.);  // four standard errors of a unit deviation
}  // namespace

TEST_CASE("diffusion times: uniform laws stay inside and reach their ends") {
  const auto [low, high] = range_of(one("frac(.02 .98)", NoiseSchedule::vp()));
  CHECK(low >= .02 * 999);
  CHECK(high < .98 * 999);
  CHECK(low < .03 * 999);
  CHECK(high > .97 * 999);
  const auto index = one("index(3 7)", NoiseSchedule::vp());
  CHECK(std::set<double>(index.begin(), index.end()) == std::set<double>{3, 4, 5, 6, 7});
  const auto karras = range_of(one("karras(0 .8)", NoiseSchedule::ve()));
  CHECK(karras.first < .003);
  CHECK(karras.second == doctest::Approx(24.4).epsilon(.02));
  CHECK(one(".25", NoiseSchedule::flow(), 3) == std::vector<double>{.25, .25, .25});
  const auto shifted = one("shift(5 frac(0 1))", NoiseSchedule::flow()),
             plain = one("frac(0 1)", NoiseSchedule::flow());
  for (std::size_t i = 0; i < 9; ++i) CHECK(shifted[i] == doctest::Approx(shift_time(plain[i], 5)));
}

TEST_CASE("diffusion times: normal laws have their mean and deviation in their own coordinate") {
  const auto check = [](const std::vector<double>& v, double mean, double deviation) {
    CHECK(std::abs(mean_of(v) - mean) < kError * deviation);
    CHECK(std::abs(deviation_of(v) - deviation) < kError * deviation);
  };
  check(mapped(one("lognormal(-1.2 .8)", NoiseSchedule::ve()), [](double t) { return std::log(t); }), -1.2, .8);
  check(mapped(one("lognormal(-1.2 .8)", NoiseSchedule::flow()), [](double t) { return std::log(t / (1 - t)); }), -1.2,
        .8);
  check(mapped(one("atan_lognormal(-1 1.4)", NoiseSchedule::trig(.5)),
               [](double t) { return std::log(.5 * std::tan(t)); }),
        -1, 1.4);
  check(mapped(one("logit_normal(-.4 1)", NoiseSchedule::flow()), [](double t) { return std::log(t / (1 - t)); }), -.4,
        1);
}

TEST_CASE("diffusion times: laws that depend on the run or on earlier times") {
  const NoiseSchedule flow = NoiseSchedule::flow();
  for (const auto& [progress, want] : {std::pair{0., .98}, std::pair{.25, .5}, std::pair{1., .02}})
    CHECK(draw({{"t", "sqrt_anneal(.02 .98)"}}, flow, 1, 0, progress).at("t").item() == doctest::Approx(want));
  const Times t = draw({{"t", "frac(.1 .9)"},
                        {"s", "gap(t .2)"},
                        {"after", "later(t .1)"},
                        {"before", "earlier(t .3)"},
                        {"between", "interval(s t)"},
                        {"low", "capped(t .02 .5)"}},
                       flow);
  const auto now = t.at("t").values(), s = t.at("s").values(), after = t.at("after").values();
  const auto before = t.at("before").values(), between = t.at("between").values();
  double largest_gap = 0;
  for (std::size_t i = 0; i < now.size(); ++i) {
    REQUIRE(s[i] <= now[i]);
    REQUIRE(now[i] <= after[i]);
    REQUIRE(after[i] <= now[i] * 1.1 + 1e-12);
    REQUIRE(before[i] == doctest::Approx(std::max(now[i] - .3, 0.)));
    REQUIRE(between[i] >= s[i]);
    REQUIRE(between[i] <= now[i]);
    largest_gap = std::max(largest_gap, now[i] - s[i]);
  }
  CHECK(largest_gap <= .2);
  CHECK(largest_gap > .19);
  const auto [low, high] = range_of(t.at("low").values());
  CHECK(low == doctest::Approx(.02));
  CHECK(high == doctest::Approx(.5));
}

TEST_CASE("diffusion times: minmax orders two draws, q of them coincide, some end clean") {
  const Times t = draw({{"pair", "minmax(logit_normal(-.4 1) q=.75)"}}, NoiseSchedule::flow());
  const auto late = t.at("t").values(), early = t.at("s").values();
  double same = 0;
  for (std::size_t i = 0; i < late.size(); ++i) {
    REQUIRE(early[i] <= late[i]);
    same += early[i] == late[i];
  }
  CHECK(std::abs(same / 4000 - .75) < kError * std::sqrt(.75 * .25));
  const Times z = draw({{"pair", "minmax(frac(.1 1) q=.5 zero=.25)"}}, NoiseSchedule::flow());
  const auto ends = z.at("s").values();
  const double clean = static_cast<double>(std::count(ends.begin(), ends.end(), 0.)) / 4000;
  CHECK(std::abs(clean - .25) < kError * std::sqrt(.25 * .75));
}

TEST_CASE("diffusion times: neighbours on a grid, segments and their ends") {
  // LCM: t = 20 (i + 1) - 1, u = max(t - 20, 0).
  const Times lcm = draw({{"pair", "grid(50)"}}, NoiseSchedule::vp());
  const auto t = lcm.at("t").values(), u = lcm.at("u").values(), s = lcm.at("s").values();
  std::set<double> seen;
  for (std::size_t i = 0; i < t.size(); ++i) {
    REQUIRE(std::fmod(t[i] + 1, 20) == 0);
    REQUIRE(u[i] == std::max(t[i] - 20, 0.));
    REQUIRE(s[i] == 0);
    seen.insert(t[i]);
  }
  CHECK(seen.size() == 50);
  // PCM with 4 segments of 13, 12, 13, 12 gaps: s is the largest edge at or before u.
  const double edges[] = {0, 12 / 50., 25 / 50., 37 / 50.};
  for (const char* text : {"grid(50 segments=4)", "grid(50 segments=4 end=random)", "grid(50 segments=4 end=next)"}) {
    const Times three = draw({{"pair", text}}, NoiseSchedule::flow(), 1000);
    const auto late = three.at("t").values(), next = three.at("u").values(), end = three.at("s").values();
    int inside = 0;
    for (std::size_t i = 0; i < late.size(); ++i) {
      double edge = 0;
      for (const double e : edges) edge = e <= next[i] + 1e-9 ? e : edge;
      REQUIRE(late[i] == doctest::Approx(next[i] + .02));
      REQUIRE(end[i] >= edge - 1e-9);
      REQUIRE(end[i] <= next[i]);
      if (std::string(text) == "grid(50 segments=4)") REQUIRE(end[i] == doctest::Approx(edge));
      if (std::string(text) == "grid(50 segments=4 end=next)") REQUIRE(end[i] == next[i]);
      inside += end[i] > edge + 1e-9 && end[i] < next[i] - 1e-9;
    }
    CHECK((inside > 200) == (std::string(text) == "grid(50 segments=4 end=random)"));
  }
  const auto ve = range_of(draw({{"pair", "grid(17)"}}, NoiseSchedule::ve()).at("t").values());
  CHECK(ve.second == doctest::Approx(80));
  CHECK(range_of(draw({{"p", "grid(2 over=shift(3 uniform(3)))"}}, NoiseSchedule::flow()).at("u").values()).second ==
        doctest::Approx(.75));
}

TEST_CASE("diffusion times: grids that grow, halves of dyadic jumps, targets of samplers, recent times") {
  const NoiseSchedule ve = NoiseSchedule::ve(), flow = NoiseSchedule::flow(), vp = NoiseSchedule::vp();
  const auto levels = [&](const std::string& law, double progress) {
    const auto t = draw({{"pair", law}}, ve, 4000, 0, progress).at("t").values();
    return std::set<double>(t.begin(), t.end()).size();
  };
  CHECK(levels("growing(2 150)", 0) == 1);
  CHECK(levels("growing(2 10)", .5) == 7);  // ceil(sqrt(.5 (121 - 4) + 4) - 1)
  CHECK(levels("growing(2 10)", 1) == 10);
  CHECK(levels("doubling(10 40 0 3)", 0) == 10);
  CHECK(levels("doubling(10 40 0 3)", .34) == 20);
  CHECK(levels("doubling(10 40 0 3)", .99) == 40);
  // Of levels spread like log sigma ~ N(-1.1, 2^2) the mean is near -1.1, a little lower as t is the upper end's.
  const auto logs = mapped(draw({{"pair", "doubling(1280 1280 -1.1 .5)"}}, ve).at("t").values(),
                           [](double x) { return std::log(x); });
  CHECK(std::abs(mean_of(logs) + 1.1) < .05);
  CHECK(deviation_of(logs) == doctest::Approx(.5).epsilon(.05));

  const Times halves = draw({{"pair", "dyadic(8)"}}, flow);
  std::map<double, int> lengths;
  const auto late = halves.at("t").values(), middle = halves.at("m").values(), end = halves.at("s").values();
  for (std::size_t i = 0; i < late.size(); ++i) {
    REQUIRE(middle[i] == (late[i] + end[i]) / 2);
    REQUIRE(std::fmod(end[i], late[i] - end[i]) == 0);
    ++lengths[late[i] - end[i]];
  }
  CHECK(lengths.size() == 3);  // 1, 1/2, 1/4
  CHECK(lengths.begin()->first == .25);

  const std::set<double> samplers{0,   125, 142, 166, 200, 250, 285, 333, 375, 400, 428,
                                  500, 571, 600, 625, 666, 714, 750, 800, 833, 857, 875};
  for (const char* law : {"targets(250 4 8 260)", "targets(250 4 8 260 .3)"}) {
    const Times chosen = draw({{"pair", law}}, vp, 500);
    const auto u = chosen.at("u").values(), s = chosen.at("s").values();
    int away = 0;
    for (std::size_t i = 0; i < 500; ++i) {
      const double last = *std::prev(samplers.upper_bound(u[i]));
      REQUIRE(s[i] <= u[i]);
      REQUIRE(s[i] >= std::floor(.7 * (last - 260)));
      away += !samplers.contains(s[i]);
    }
    CHECK((away > 0) == (std::string(law) != "targets(250 4 8 260)"));
  }

  const Times recent = draw({{"t", "frac(.5 1)"}, {"s", "recent(t .2 q=.25)"}}, flow);
  const auto from = recent.at("t").values(), to = recent.at("s").values();
  double same = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    same += from[i] == to[i];
    REQUIRE(to[i] > .8 * from[i]);
    REQUIRE(to[i] <= from[i]);
  }
  CHECK(std::abs(same / 4000 - .25) < kError * std::sqrt(.25 * .75));
}

TEST_CASE("diffusion times: numbers of the preset are read where the run stands") {
  const NumberMap numbers{{"n", Number(7)}};
  const NoiseSchedule flow = NoiseSchedule::flow();
  const std::vector<NamedLaw> laws{{"pair", make_time_law(parse_call("grid(n)", "test"), flow, numbers)},
                                   {"w", make_time_law(parse_call("n", "test"), flow, numbers)}};
  const Times drawn = draw_times(laws, Rng(7), "term", 3, ids(2000));
  const auto t = drawn.at("t").values();
  CHECK(std::set<double>(t.begin(), t.end()).size() == 7);
  CHECK(drawn.at("w").values()[0] == 7);
  CHECK_THROWS_AS(make_time_law(parse_call("grid(k)", "test"), flow, numbers), ConfigError);
}

TEST_CASE("diffusion times: draws depend on sample, step and name, not on the batch") {
  const Program program{{"a", "frac(0 1)"}, {"pair", "minmax(logit_normal(0 1))"}, {"b", "index(0 9)"}};
  const NoiseSchedule s = NoiseSchedule::flow();
  for (const char* name : {"a", "b", "t", "s"}) {
    auto split = draw(program, s, 3).at(name).values();
    const auto rest = draw(program, s, 5, 3).at(name).values(), whole = draw(program, s, 8).at(name).values();
    split.insert(split.end(), rest.begin(), rest.end());
    CHECK(split == whole);
    CHECK(draw(program, s, 8, 0, 0, 4).at(name).values() != whole);
  }
  const Times two = draw({{"a", "frac(0 1)"}, {"b", "frac(0 1)"}}, s, 8);
  CHECK(two.at("a").values() != two.at("b").values());
}

TEST_CASE("diffusion times: errors") {
  const NoiseSchedule s = NoiseSchedule::flow();
  CHECK_THROWS_WITH_AS(one("logitnormal(0 1)", s), doctest::Contains("'logit_normal'"), ConfigError);
  CHECK_THROWS_WITH_AS(one("atan_lognormal(0 1)", s), doctest::Contains("trig schedule"), ConfigError);
  CHECK_THROWS_WITH_AS(one("later(u .1)", s), doctest::Contains("drawn so far: none"), ConfigError);
  CHECK_THROWS_WITH_AS(one("frac(.5 .2)", s), doctest::Contains("at least 0.5"), ConfigError);
  CHECK_THROWS_WITH_AS(one("shift(3 minmax(frac(0 1)))", s), doctest::Contains("law of one time"), ConfigError);
  CHECK_THROWS_WITH_AS(one("grid(5 over=uniform(5))", s), doctest::Contains("need a grid of 6"), ConfigError);
  CHECK_THROWS_WITH_AS(draw({{"t", "frac(0 1)"}, {"t", "frac(0 1)"}}, s, 2), doctest::Contains("two laws"),
                       ConfigError);
}
