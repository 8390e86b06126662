// tests/distill/flow_map_test.cpp -- residuals of flow maps are zero on the exact map of a Gaussian, and not when a
// sign is turned; what a step of them records.
#include "distill/objectives/flow_map.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/diffusion/oracle_net.h"
#include "distill/train/answers.h"
#include "distill/train/job.h"
#include "distill/train/models.h"
#include "distill/train/terms.h"
#include "nn/models/dit.h"
#include "tests/op_case.h"

using namespace retort;
using namespace retort::testing;

namespace {
/// Closed forms as roles, and one term asked at 64 points of the data.
struct Bench {
  Roles roles;
  std::unique_ptr<Term> term;
  Batch batch;
  Tape tape;
  Leaves leaves{tape};
  Pass pass{.step = 3, .rng = Rng(5)};

  Bench(const std::string& schedule, const std::string& student, const std::string& text) {
    add("teacher", fmt::format("gaussian(.7 -.4 std=1.2 schedule={} answer=map)", schedule));
    add("student", fmt::format("gaussian({} schedule={} answer=map)", student, schedule));
    Config node = Config::parse(text, "test");
    const NoiseSchedule& s = roles.at("teacher").diffusion->schedule;
    term = make_term("map", node, {}, &s);
    batch.x = randn({64, 2}, 7) * 1.2;
    batch.sample = batch.index = arange(64);
    pass.leaves = &leaves;
  }
  void add(const std::string& name, const std::string& net) {
    Role& role = roles[name];
    role.name = name;
    role.model = build_denoiser(parse_call(net, "test"), {});
    role.compute = DType::f64;
    convert(*role.model, DType::f64);
    role.net = model_net(role);
    role.diffusion = Diffusion{dynamic_cast<const OracleNet&>(*role.model).schedule(), Output(Output::Kind::x0)};
  }
  Part eval() {
    const Stores stores;
    const std::set<std::string> trained{"student"};
    Answers answers(roles, stores, batch, trained, pass, {});
    answers.wish(*term);
    return term->eval(answers.input(*term, answers.signals(*term)));
  }
  double value() { return eval().total.item() / 64; }
};

const std::string kExact = ".7 -.4 std=1.2", kOther = ".2 .1 std=.8";

struct Residual {
  std::string schedule, text;
};
const std::vector<Residual> kResiduals{
    {"vp", "{residual: endpoint, pair: {t: frac(.2 1), s: -1}, step: {by: jump, role: teacher}}"},
    {"ve", "{residual: two_point, pair: grid(18 end=random), step: {by: jump, role: teacher}}"},
    {"vp", "{residual: two_point, pair: grid(50 segments=4), step: {by: jump, role: teacher}, space: eps}"},
    {"flow", "{residual: semigroup, pair: dyadic(128), space: v}"},
    {"cosine", "{residual: semigroup, pair: {t: frac(.1 .9), s: gap(t .3), m: between(s t .3)}}"},
    {"flow", "{residual: eulerian, pair: {pair: minmax(frac(.05 1))}, velocity: {role: teacher}}"},
    {"ve", "{residual: eulerian, pair: {pair: minmax(frac(.001 .02))}, velocity: {role: teacher}}"},
    {"trig", "{residual: eulerian, pair: {t: atan_lognormal(-1 1.4), s: 0}, velocity: {role: teacher}}"},
    {"trig", "{residual: eulerian, pair: {pair: minmax(frac(.05 1))}, velocity: {role: student}}"},
    {"flow", "{residual: lagrangian, pair: {pair: minmax(frac(.05 1))}, velocity: {role: teacher}}"},
    {"vp_continuous", "{residual: lagrangian, pair: {pair: minmax(frac(.05 1))}, velocity: {role: student}}"},
};
std::string whole(const std::string& text) { return "{kind: flowmap, d: sq, reduce: sum/sample, " + text.substr(1); }
}  // namespace

TEST_CASE("flow maps: every residual is zero on the exact map, and on no other") {
  for (const Residual& r : kResiduals) {
    CAPTURE(r.schedule);
    CAPTURE(r.text);
    CHECK(Bench(r.schedule, kExact, whole(r.text)).value() < 1e-12);
    if (r.text.find("semigroup") == std::string::npos && r.text.find("role: student") == std::string::npos)
      CHECK(Bench(r.schedule, kOther, whole(r.text)).value() > 1e-3);
  }
}

TEST_CASE("flow maps: a derivative with its sign turned, or left out, is not zero on the exact map") {
  for (const Residual& r : kResiduals) {
    if (r.text.find("eulerian") == std::string::npos) continue;
    CAPTURE(r.text);
    for (const char* warmup : {"0", "-1"}) {
      const std::string text = r.text.substr(0, r.text.size() - 1) + ", tangent: {warmup: " + warmup + "}}";
      CHECK(Bench(r.schedule, kExact, whole(text)).value() > 1e-3);
    }
  }
  // Straight lines to the data are not the flow: bootstrapping on them is not zero either.
  CHECK(Bench("ve", kExact, whole("{residual: two_point, pair: grid(18), step: data}")).value() > 1e-3);
}

TEST_CASE("flow maps: central differences come to the exact derivative with the square of their gap") {
  const auto at = [](const std::string& jvp) {
    return Bench("flow", kOther,
                 whole("{residual: eulerian, pair: {t: frac(.3 .9), s: gap(t .2)}, velocity: data, jvp: " + jvp + "}"))
        .value();
  };
  const double exact = at("exact"), wide = at("difference(.02)") - exact, narrow = at("difference(.01)") - exact;
  CHECK(std::abs(wide) > 1e-6);
  CHECK(wide / narrow == doctest::Approx(4).epsilon(.05));
}

TEST_CASE("flow maps: unit tangents keep their direction, rms(c) counts elements") {
  const std::string text = "{residual: eulerian, pair: {t: .9, s: 0}, velocity: {role: teacher}, tangent: {norm: ";
  const double raw = Bench("trig", kOther, whole(text + "none}}")).value();
  const double unit = Bench("trig", kOther, whole(text + "unit(0)}}")).value();
  const double rms = Bench("trig", kOther, whole(text + "rms(0)}}")).value();
  CHECK(raw > 0);
  CHECK(unit == doctest::Approx(1));
  CHECK(rms == doctest::Approx(2));
}

TEST_CASE("flow maps: a detached derivative adds nothing to the record of a step, the gradient is that of the slope") {
  const std::string pair = "pair: {t: frac(.3 .9), s: gap(t .2)}, velocity: {role: teacher}";
  Bench exact("flow", kOther, whole("{residual: eulerian, " + pair + "}"));
  Bench apart("flow", kOther, whole("{residual: eulerian, jvp: difference(1e-5), " + pair + "}"));
  const Part a = exact.eval(), b = apart.eval();
  CHECK(exact.tape.size() == apart.tape.size());
  CHECK(exact.tape.saved_bytes() == apart.tape.saved_bytes());
  const auto gradient = [](Bench& bench, const Part& part) {
    Tensors parameters;
    for (const NamedParameter& p : parameters_of(bench.roles.at("student")))
      parameters.push_back(bench.leaves.of(*p.parameter, false));
    return bench.tape.gradients(part.total, parameters);
  };
  const Tensors of_exact = gradient(exact, a), of_apart = gradient(apart, b);
  for (std::size_t i = 0; i < of_exact.size(); ++i) CHECK(relative_error(of_exact[i], of_apart[i]) < 1e-6);
}

TEST_CASE("flow maps: the gradient flows through a derivative in the end time") {
  const std::string text = "{residual: lagrangian, pair: {t: .8, s: .3}, velocity: {role: teacher}}";
  Bench bench("flow", kOther, whole(text));
  const Tensor noise = randn({64, 2}, 8);
  bench.batch.more["noise"] = noise;
  const Part part = bench.eval();
  std::vector<NamedParameter> parameters = parameters_of(bench.roles.at("student"));
  const Tensor leaf = bench.leaves.of(*parameters.at(0).parameter, false);
  const std::vector<double> got = bench.tape.gradients(part.total, std::span(&leaf, 1))[0].values();
  // First coordinate, in plain numbers: X = (1 - s) m + S(s) / S(t) (z - (1 - t) m), S^2 = (1 - t)^2 k^2 + t^2; only
  // d/ds X moves with m.
  const double t = .8, s = .3, k = .8;
  const auto spread = [](double at, double dev) { return std::sqrt((1 - at) * (1 - at) * dev * dev + at * at); };
  const auto growth = [&](double at, double dev) { return (at - (1 - at) * dev * dev) / spread(at, dev); };
  const auto x = bench.batch.x.values(), e = noise.values();
  double slope = 0;
  for (std::size_t i = 0; i < x.size(); i += 2) {
    const double z = (1 - t) * x[i] + t * e[i], m = .2, away = z - (1 - t) * m;
    const double landed = (1 - s) * m + spread(s, k) / spread(t, k) * away;
    const double target = -.7 + growth(s, 1.2) / spread(s, 1.2) * (landed - (1 - s) * .7);
    const double rate = -m + growth(s, k) / spread(t, k) * away;
    slope += 2 * (rate - target) * (-1 - growth(s, k) / spread(t, k) * (1 - t));
  }
  CHECK(got[0] == doctest::Approx(slope).epsilon(1e-9));
}

TEST_CASE("flow maps: TwinFlow pulls its samples from where it sees fakes to where it sees data") {
  Config preset = Config::parse(method_presets().at("twinflow"), "twinflow");
  Bench bench("flow", kOther, whole("{residual: endpoint, pair: {t: 1, s: 0}, step: data}"));
  bench.add("student", "mixture(at(0 0) at(1 0) std=1 schedule=flow answer=map)");
  bench.term = make_term("rectify", preset.child("terms.rectify"), {}, &bench.roles.at("student").diffusion->schedule);
  bench.batch.y = Tensor::zeros({64}, DType::i64);
  bench.batch.labels["fake"] = Tensor::full({64}, 1, DType::i64);
  bench.batch.x = bench.tape.watch(bench.batch.x);
  const Tensor x = bench.batch.x;
  const std::vector<double> g = bench.tape.gradients(bench.eval().total, std::span(&x, 1))[0].values();
  for (std::size_t i = 0; i < g.size(); i += 2) CHECK(g[i] > 0);
}

TEST_CASE("flow maps: a network with two times begins as its teacher with one") {
  const std::string dit = "dit(image=4 in=1 classes=2 width=16 depth=1 heads=2 label_drop=0";
  const auto built = [&](const std::string& student) {
    const OpenedJob opened =
        open_job("ctm", {"job.task=tiny", "sample=[1, 4, 4]", "method.roles.student.init=extend(teacher)",
                         "models.teacher={arch: " + dit + "), schedule: ve, out: x0}",
                         "models.student={arch: " + student + ", schedule: ve, out: x0}"});
    return build_job(opened.config, opened.file, kCpu);
  };
  Job job = built(dit + " times=2)");
  Role &student = job.setup.roles.at("student"), &teacher = job.setup.roles.at("teacher");
  std::uint64_t seed = 1;
  for (const NamedParameter& p : parameters_of(teacher)) {
    if (p.name != "head.weight") continue;  // it begins at zero, and with it every answer
    p.parameter->value = cast(randn(p.parameter->value.shape(), ++seed), DType::f32);
    for (const NamedParameter& q : parameters_of(student))
      if (q.name == p.name) q.parameter->value = p.parameter->value;
  }
  const Tensor x = cast(randn({3, 1, 4, 4}, 7), DType::f32), label = Tensor::zeros({3}, DType::i64);
  const Tensor t = Tensor::full({3}, 2, DType::f64), s = Tensor::full({3}, .5, DType::f64);
  Pass pass;
  const auto answer = [&](const Role& role) {
    return role.net->eval({x, t, label, label, label, s}, {}, Grad::None, pass).out.values();
  };
  CHECK(answer(student) == answer(teacher));
  CHECK(square(Tensor::from(answer(student), {48}, DType::f64)).values() != std::vector<double>(48, 0.0));
  CHECK_THROWS_WITH_AS(built("dit(image=4 in=1 classes=2 width=8 depth=1 heads=2 times=2)"),
                       doctest::Contains("of shape"), ConfigError);
}

TEST_CASE("flow maps: both sides of a comparison have one dropout mask") {
  Role role;
  role.name = "student";
  role.model = std::make_unique<Dit>(DitConfig{.image = 4,
                                               .in_channels = 1,
                                               .out_channels = 1,
                                               .classes = 2,
                                               .width = 16,
                                               .depth = 1,
                                               .heads = 2,
                                               .label_drop = 0,
                                               .end_time = true,
                                               .dropout = .5});
  std::uint64_t seed = 1;
  for (const NamedParameter& p : parameters_of(role))
    p.parameter->value = cast(randn(p.parameter->value.shape(), ++seed) * .3, DType::f32);
  Bench bench("flow", kOther, whole("{residual: two_point, pair: {t: .5, u: earlier(t 0), s: .2}, step: data}"));
  bench.roles.erase("student");
  Role& student = bench.roles["student"];
  student = std::move(role);
  student.net = model_net(student);
  student.diffusion = Diffusion{NoiseSchedule::flow(), Output(Output::Kind::v)};
  bench.batch.x = cast(randn({64, 1, 4, 4}, 7), DType::f32);
  bench.batch.y = Tensor::zeros({64}, DType::i64);
  const Part part = bench.eval();
  CHECK(part.total.item() == 0.0);
}

TEST_CASE("flow maps: distances of vectors against their formulas") {
  const Tensor p = Tensor::from(std::vector{.5, -1., 2., .1}, {2, 2}, DType::f64),
               t = Tensor::from(std::vector{.2, -.6, 1., .4}, {2, 2}, DType::f64);
  const auto value = [&](const std::string& d) {
    Comparison c;
    c.pred = p;
    c.target = t;
    return make_discrepancy(parse_call(d, "test"), {}).value(c).values();
  };
  // Squares .25 and 1.09.
  CHECK(value("pseudo_huber(.1)")[1] == doctest::Approx(std::sqrt(1.09 + .01) - .1));
  CHECK(value("huber(.1)")[0] == doctest::Approx(std::sqrt(.09 + .01) + std::sqrt(.16 + .01) - .2));
  CHECK(value("adaptive(.5 .01)")[0] == doctest::Approx(.25 / std::sqrt(.26)));
  CHECK(value("adaptive")[1] == doctest::Approx(1.09 / 1.1));
  CHECK(value("barron(.1)")[1] == doctest::Approx(.545 / std::sqrt(.545 / .01 + 1) / .1));
  Comparison probe;
  probe.preds = {p, t};
  probe.targets = {p};
  const auto divergence = make_discrepancy(parse_call("divergence(.5)", "test"), {}).value(probe).values();
  CHECK(divergence[0] == doctest::Approx((.5 * .3 + 1 * .4) / 2 / .5));
}

TEST_CASE("flow maps: what a residual lacks is said") {
  const auto fails = [](const std::string& text, const std::string& what) {
    CHECK_THROWS_WITH_AS(Bench("vp", kExact, whole(text)), doctest::Contains(what.c_str()), ConfigError);
  };
  fails("{residual: two_point, pair: {t: 500, s: 0}, step: data}", "needs a time u");
  fails("{residual: eulerian, pair: {t: 500, s: 0}, velocity: data}", "flow, ve and trig");
  fails("{residual: endpoit, pair: {t: 500, s: 0}}", "endpoint");
  fails("{residual: endpoint, pair: {t: 500}, step: data}", "needs a time s");
  fails("{residual: endpoint, pair: {t: 500, s: 0}, step: {by: heu, role: teacher}}", "heun");
}
