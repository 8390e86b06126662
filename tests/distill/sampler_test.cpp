// tests/distill/sampler_test.cpp -- samplers: stages, jumps, corrections, and that batches change nothing.
#include "distill/train/sampler.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/grid.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/train/models.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Roles of closed forms, in f64.
Roles closed_forms(const std::vector<std::pair<std::string, std::string>>& nets) {
  Roles roles;
  for (const auto& [name, arch] : nets) {
    Role& role = roles[name];
    role.name = name;
    role.compute = DType::f64;
    role.model = build_model(parse_call(arch, "test"), {});
    initialize(*role.model, Rng(1));
    convert(*role.model, DType::f64);
    role.net = model_net(role);
    if (const auto* law = dynamic_cast<const OracleNet*>(role.model.get()))
      role.diffusion = Diffusion{law->schedule(), Output(Output::Kind::x0)};
  }
  return roles;
}

Sampler sampler_of(const std::string& yaml, const Roles& roles, const NumberMap& numbers = {}) {
  Config config = Config::parse(yaml, "test.yaml");
  Sampler sampler = parse_sampler(config, numbers, roles);
  config.check_all_read();
  return sampler;
}

std::vector<double> drawn(const std::string& yaml, const Roles& roles, std::int64_t n = 6, std::uint64_t seed = 3) {
  return draw_samples(sampler_of(yaml, roles), roles, keyed_samples(Rng(seed), 0, n, {2}, DType::f64, kCpu)).x.values();
}

const std::vector<std::pair<std::string, std::string>> kPair{
    {"teacher", "mixture(at(-2 0) at(2 0) std=1 schedule=vp)"},
    {"student", "mixture(at(-1 .5) at(1 .5) std=.7 schedule=vp)"}};
}  // namespace

TEST_CASE("sampler: one stage is the table's sampler, to the bit") {
  const Roles roles = closed_forms({{"student", "gaussian(.7 -.3 std=1.14 schedule=ve)"}});
  const Role& role = roles.at("student");
  const Rng rng(5);
  const SampleRequest request = keyed_samples(rng, 0, 5, {2}, DType::f64, kCpu);
  const std::vector<double> grid = make_grid(parse_call("ends(karras(6))", "test"), role.diffusion->schedule);
  const Predictor net{Space::x0, [&](const Tensor& x, const Tensor& t) {
                        Pass pass;
                        const Tensor raw = role.net->eval({x, t, {}, {}, request.indices}, {}, Grad::None, pass).out;
                        return role.diffusion->output.read(Space::x0, raw, x, t, role.diffusion->schedule);
                      }};
  const Tensor begin = request.noise("sampler/noise")(Tensor::empty({5, 2}, DType::f64), 0) * grid.back();
  for (const std::string step : {"ddim", "heun", "renoise", "dpm1", "euler"}) {
    CAPTURE(step);
    const Tensor x =
        sample(net, begin, grid, make_step(parse_call(step, "test")), role.diffusion->schedule, rng, request.indices);
    const auto got =
        drawn(fmt::format("{{stages: [{{role: student, grid: ends(karras(6)), step: {}}}]}}", step), roles, 5, 5);
    CHECK(got == x.values());
  }
}

TEST_CASE("sampler: network calls are counted: Heun 2 n - 1, guidance twice, a correction one") {
  const Roles roles = closed_forms(kPair);
  const auto calls = [&](const std::string& yaml) {
    return draw_samples(sampler_of(yaml, roles), roles, keyed_samples(Rng(1), 0, 2, {2}, DType::f64, kCpu)).calls;
  };
  CHECK(calls("{stages: [{role: teacher, grid: ends(subset(20)), step: heun}]}") == 39);
  CHECK(calls("{classes: 2, stages: [{role: teacher, grid: ends(subset(20)), guide: 7}]}") == 40);
  CHECK(calls("{classes: 2, stages: [{role: teacher, grid: ends(subset(20)), guide: 1}]}") == 20);
  CHECK(calls("{stages: [{role: student, levels: [999, 499], correct: {by: teacher, share: .5, steps: 1}}]}") == 3);
  CHECK(calls("{stages: [{role: student, levels: [999]}]}") == 1);
}

TEST_CASE("sampler: a stage takes over where the other's steps are done: none or all are one sampler, to the bit") {
  const Roles roles = closed_forms(kPair);
  for (const char* step : {"ddim", "renoise"}) {
    CAPTURE(step);
    const auto mixed = [&](int k) {
      return drawn(
          fmt::format("{{stages: [{{role: teacher, grid: ends(subset(20)), step: {0}}}, {{role: student, grid: "
                      "ends(subset(4)), step: {0}, skip: {1}}}]}}",
                      step, k),
          roles);
    };
    const auto alone = [&](const char* role, int n) {
      return drawn(fmt::format("{{stages: [{{role: {}, grid: ends(subset({})), step: {}}}]}}", role, n, step), roles);
    };
    CHECK(mixed(0) == alone("student", 4));
    CHECK(mixed(4) == alone("teacher", 20));
    for (const int k : {1, 2, 3}) {
      CHECK(mixed(k) != mixed(0));
      CHECK(mixed(k) != mixed(4));
    }
  }
}

TEST_CASE("sampler: the base's first steps give a student that dropped modes some of them back") {
  // Nine of ten samples of the student are of the mode at 2, half of the base's.
  std::string skewed = "mixture(at(-2 0)";
  for (int i = 0; i < 9; ++i) skewed += " at(2 0)";
  const Roles roles = closed_forms(
      {{"teacher", "mixture(at(-2 0) at(2 0) std=.3 schedule=vp)"}, {"student", skewed + " std=.3 schedule=vp)"}});
  std::vector<double> entropy;
  for (int k = 0; k <= 4; ++k) {
    const auto x = drawn(fmt::format("{{stages: [{{role: teacher, grid: ends(subset(20))}}, {{role: student, grid: "
                                     "ends(subset(4)), skip: {}}}]}}",
                                     k),
                         roles, 2000);
    double right = 0;
    for (std::size_t i = 0; i < x.size(); i += 2) right += x[i] > 0 ? 1. / 2000 : 0;
    entropy.push_back(-right * std::log(right) - (1 - right) * std::log(1 - right));
  }
  CHECK(entropy[0] < .5);
  for (int k = 1; k <= 4; ++k) CHECK(entropy[static_cast<std::size_t>(k)] > entropy[static_cast<std::size_t>(k) - 1]);
  CHECK(entropy[4] == doctest::Approx(std::log(2.)).epsilon(.01));
}

TEST_CASE("sampler: one corrected step leaves (1 - l) b + l (teacher's shrink) b of a student's bias b") {
  // Data N(0, 1.14^2), a student that says b whatever it is asked, one step of VE from 80 to .8.
  const Roles roles = closed_forms(
      {{"teacher", "gaussian(0 0 std=1.14 schedule=ve)"}, {"student", "gaussian(.5 -.25 std=1e-8 schedule=ve)"}});
  const auto step = [&](double share, const char* noise) {
    const Sampler s =
        sampler_of(fmt::format("{{stages: [{{role: student, grid: karras(2 sigma_min=.8 sigma_max=80), step: "
                               "renoise, correct: {{by: teacher, share: {}, steps: 1}}}}]}}",
                               share),
                   roles);
    SampleRequest request = keyed_samples(Rng(1), 0, 1, {2}, DType::f64, kCpu);
    request.noise = [noise = std::string(noise)](const std::string& stream) -> StepNoise {
      return [on = stream == noise](const Tensor& like, int) { return Tensor::full(like.shape(), on, like.dtype()); };
    };
    return draw_samples(s, roles, request).x.values();
  };
  const double shrink = 1.14 * 1.14 / (1.14 * 1.14 + .8 * .8);
  for (const double share : {0., .3, 1.}) {
    CAPTURE(share);
    const auto x = step(share, "none");
    CHECK(x[0] == doctest::Approx(.5 * (1 - share + share * shrink)).epsilon(1e-9));
    CHECK(x[1] == doctest::Approx(-.25 * (1 - share + share * shrink)).epsilon(1e-9));
    // The teacher is asked in noise of its own: .8 of it, shrunk.
    CHECK(step(share, "sampler/0/correct")[0] - x[0] == doctest::Approx(share * shrink * .8).epsilon(1e-9));
    CHECK(step(share, "sampler/0")[0] - x[0] == doctest::Approx(.8).epsilon(1e-9));
  }
  const char* plain = "{stages: [{role: student, levels: [80, 4, .8], step: renoise}]}";
  const auto corrected = [](const char* share, int steps) {
    return fmt::format(
        "{{stages: [{{role: student, levels: [80, 4, .8], step: renoise, correct: {{by: teacher, share: "
        "{}, steps: {}}}}}]}}",
        share, steps);
  };
  CHECK(drawn(corrected("0", 2), roles) == drawn(plain, roles));
  CHECK(drawn(corrected(".5", 0), roles) == drawn(plain, roles));
  CHECK(drawn(corrected(".5", 2), roles) != drawn(plain, roles));
}

TEST_CASE("sampler: jumps go where they are told, in any number, and on from a stage of another schedule") {
  const Roles roles = closed_forms({{"map", "gaussian(.7 -.3 std=1.14 schedule=ve answer=map)"},
                                    {"flow", "gaussian(.7 -.3 std=1.14 schedule=flow answer=map)"},
                                    {"clean", "gaussian(.7 -.3 std=1.14 schedule=ve answer=jump)"}});
  const auto close = [](const std::vector<double>& a, const std::vector<double>& b) {
    double apart = 0;
    for (std::size_t i = 0; i < a.size(); ++i) apart = std::max(apart, std::abs(a[i] - b[i]));
    return apart < 1e-9;
  };
  const auto one = drawn("{stages: [{role: map, levels: [80], step: jump}]}", roles);
  CHECK(close(one, drawn("{stages: [{role: map, levels: [80, 9, 2, .1], step: jump}]}", roles)));
  CHECK(close(one, drawn("{stages: [{role: clean, levels: [80]}]}", roles)));
  CHECK_FALSE(close(one, drawn("{stages: [{role: map, levels: [80, 2], step: renoise}]}", roles)));
  // From sigma 3 on VE to t = 3 / 4 of the flow, where the state is a quarter of it.
  CHECK(
      close(one, drawn("{stages: [{role: map, levels: [80, 3], step: jump}, {role: flow, levels: [.9, .75, .5], step: "
                       "jump, skip: 1}]}",
                       roles)));
}

TEST_CASE("sampler: a batch of any size draws the same samples, to the bit") {
  Roles roles;
  Role& role = roles["student"];
  role.name = "student";
  role.model = build_model(parse_call("unet(image=8 in=1 width=8 mult=1x2 blocks=1 attention=4 embed_mult=2 classes=3 "
                                      "dropout=.2)",
                                      "test"),
                           {});
  initialize(*role.model, Rng(2));
  role.net = model_net(role);
  role.diffusion = Diffusion{NoiseSchedule::ve(), Output(Output::Kind::edm)};
  const Sampler s =
      sampler_of("{classes: 3, stages: [{role: student, levels: [80, 2], step: renoise, guide: 2}]}", roles);
  const auto rows = [&](std::int64_t first, std::int64_t n) {
    return draw_samples(s, roles, keyed_samples(Rng(7), first, n, {1, 8, 8}, DType::f32, kCpu));
  };
  const DrawnSamples whole = rows(0, 11);
  CHECK(whole.label.values<std::int64_t>() == std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1});
  for (const auto& cut : std::vector<std::pair<int, int>>{{0, 1}, {1, 4}, {5, 6}}) {
    CAPTURE(cut.first);
    const DrawnSamples part = rows(cut.first, cut.second);
    CHECK(part.x.values() == slice(whole.x, 0, cut.first, cut.first + cut.second).values());
  }
  CHECK(whole.x.values() !=
        draw_samples(s, roles, keyed_samples(Rng(8), 0, 11, {1, 8, 8}, DType::f32, kCpu)).x.values());
}

TEST_CASE("sampler: generators make samples of noise in one call") {
  const Roles roles = closed_forms({{"student", "affine(size=2 shift=.5 scale=2)"}});
  const auto noise = keyed_samples(Rng(3), 0, 2, {2}, DType::f64, kCpu)
                         .noise("sampler/noise")(Tensor::empty({2, 2}, DType::f64), 0)
                         .values();
  const auto x = drawn("{stages: [{role: student}]}", roles, 2);
  for (std::size_t i = 0; i < 4; ++i) CHECK(x[i] == doctest::Approx(.5 + 2 * noise[i]));
}

TEST_CASE("sampler: what is wrong is an error at its place") {
  Roles roles = closed_forms(kPair);
  roles.merge(closed_forms({{"affine", "affine(size=2)"}}));
  NumberMap numbers;
  numbers["k"] = Number(2.0);
  const auto error = [&](const std::string& yaml) {
    try {
      sampler_of(yaml, roles, numbers);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string("none");
  };
  const auto says = [&](const std::string& stages, const char* place, const char* what) {
    const std::string text = error("{stages: [" + stages + "]}");
    CAPTURE(text);
    CHECK(text.find(place) != std::string::npos);
    CHECK(text.find(what) != std::string::npos);
  };
  const std::string base = "{role: teacher, grid: ends(subset(20))}, ";
  CHECK(error("{stages: [{role: student, levels: [999]}]}") == "none");
  CHECK(error("{stages: [" + base + "{role: student, grid: ends(subset(4)), skip: k}]}") == "none");
  says("", "stages", "at least one stage");
  says("{role: studnt, levels: [999]}", "stages.0", "student");
  says("{role: student}", "stages.0", "either a grid or levels");
  says("{role: student, levels: [999], grid: subset(4)}", "stages.0", "either a grid or levels");
  says("{role: student, levels: [499, 999]}", "stages.0.levels", "descending");
  says("{role: student, levels: []}", "stages.0.levels", "descending");
  says("{role: student, levels: [999], steps: ddim}", "stages.0.steps", "step");
  says("{role: student, levels: [999], step: dddim}", "dddim", "ddim");
  says("{role: student, levels: [999], skip: 1}", "stages.0.skip", "no stage before");
  says(base + "{role: student, levels: [999]}", "stages.1", "skip");
  says(base + "{role: student, levels: [999], skip: 2}", "stages.1.skip", "from 0 to 1");
  says(base + "{role: student, levels: [999], skip: .5}", "stages.1.skip", "whole number");
  says(base + "{role: affine}", "stages.1", "no denoiser");
  says("{role: affine}, {role: student, levels: [999], skip: 0}", "stages.1", "one call");
  says("{role: affine, levels: [1]}", "stages.0", "no denoiser");
  says("{role: student, levels: [999], guide: 2}", "stages.0.guide", "classes");
  says("{role: student, levels: [999], correct: {by: teacher, share: .5, steps: 1}}", "correct.steps", "from 0 to 0");
  says("{role: student, levels: [999, 9], correct: {by: teacher, share: 2, steps: 1}}", "correct.share", "[0, 1]");
  says("{role: student, levels: [999, 9], correct: {by: affine, share: 1, steps: 1}}", "correct", "no denoiser");
  says("{role: student, levels: [999, 9], step: heun, correct: {by: teacher, share: 1, steps: 1}}", "correct", "once");
  CHECK(error("{classes: 2, stages: [{role: student, levels: [999], guide: kapa}]}").find("kapa") != std::string::npos);
  CHECK(error("{classes: 2, stages: [{role: student, levels: [999], guide: negative(2)}]}").find("negative") !=
        std::string::npos);
}
