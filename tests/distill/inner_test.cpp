// tests/distill/inner_test.cpp -- Inner terms against closed forms and finite differences, with the variants that must
// fail.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/distill/inner_fixture.h"

using namespace retort;
using namespace retort::testing;

namespace {
const MlpConfig kLinear{.in = 3, .classes = 2, .widths = {}};
const MlpConfig kHidden{.in = 3, .classes = 2, .widths = {4}, .act = Activation::tanh};

InnerFixture pair_of_classes(const MlpConfig& net, const std::string& more = "lr=.3") {
  InnerFixture f("pixels(ipc=2 classes=2 channels=1 height=1 width=3 " + more + ")", net);
  f.set_real({.5, -1, .3, 1.2, .4, -.6, -.3, .8, .1, .2, -.5, .9}, {0, 0, 1, 1});
  return f;
}

/// A network of one weight without bias: y = theta x.
struct OneWeight final : Model {
  Parameter theta{Shape{1}, Init::constant(0)};
  Tensor forward(const Tensor& x, Ctx& ctx) const override { return reshape(x, {x.size(0), 1}) * ctx(theta); }
  std::unique_ptr<Model> clone() const override { return std::make_unique<OneWeight>(*this); }
  std::string arch() const override { return "one_weight"; }
  void visit(Visitor& v) override { v("theta", theta); }
};

/// One image x with the vector y, one weight theta0, a goal.
struct Regression : InnerFixture {
  static constexpr double x = .7, y = 1.3, rate = .4, start = -.5, goal = .9;
  Regression()
      : InnerFixture("pixels(ipc=1 classes=1 labels=vectors label_size=1 lr=.4 channels=1 height=1 width=1)", kLinear) {
    add("net", std::make_unique<OneWeight>());
    add("goal", std::make_unique<OneWeight>());
    set("net", "theta", {start});
    set("goal", "theta", {goal});
    set("syn", "x", {x});
    set("syn", "y", {y});
    set_real({1}, {0});
  }
  static double after(double px, double a, int steps) {
    const double kept = std::pow(1 - a * px * px, steps);
    return kept * start + (1 - kept) * y / px;
  }
  static double loss(double px, double a, int steps) {
    return std::pow((after(px, a, steps) - goal) / (start - goal), 2);
  }
};

std::string params(const std::string& solver, const std::string& more = "loss: sq") {
  return "{set: syn, net: net, goal: goal, statistic: params, distance: normalised_sq, solver: " + solver + ", " +
         more + "}";
}
}  // namespace

TEST_CASE("inner: unrolled descent on a line has its closed form, in image, label and learning rate") {
  Regression r;
  constexpr double h = 1e-6;
  for (const int steps : {1, 2, 10}) {
    CAPTURE(steps);
    const std::string number = std::to_string(steps);
    const auto got = r.run(params("unroll(" + number + " lr=syn.lr)"));
    CHECK(got.value == doctest::Approx(Regression::loss(r.x, r.rate, steps)).epsilon(1e-12));
    const double dx = (Regression::loss(r.x + h, r.rate, steps) - Regression::loss(r.x - h, r.rate, steps)) / (2 * h);
    const double da = (Regression::loss(r.x, r.rate + h, steps) - Regression::loss(r.x, r.rate - h, steps)) / (2 * h);
    CHECK(got.x[0] == doctest::Approx(dx).epsilon(1e-7));
    CHECK(got.lr[0] == doctest::Approx(da).epsilon(1e-7));
    // Recomputed steps are the same steps; a step that is cut off is not.
    const auto again = r.run(params("unroll(" + number + " lr=syn.lr recompute=true)"));
    CHECK(again.x[0] == doctest::Approx(got.x[0]).epsilon(1e-14));
    if (steps > 1) CHECK(std::abs(r.run(params("unroll(" + number + " lr=syn.lr keep=1)")).x[0] - got.x[0]) > 1e-2);
  }
}

TEST_CASE("inner: TESLA is exact for one step, and for weights that gradients do not depend on, and nowhere else") {
  Regression r;
  const auto both = [&](int steps) {
    const std::string number = std::to_string(steps);
    return std::pair(r.run(params("unroll(" + number + " lr=syn.lr)")),
                     r.run(params("tesla(" + number + " lr=syn.lr)")));
  };
  const auto [plain, tesla] = both(1);
  CHECK(tesla.x[0] == doctest::Approx(plain.x[0]).epsilon(1e-13));
  CHECK(tesla.lr[0] == doctest::Approx(plain.lr[0]).epsilon(1e-13));
  const auto [plain2, tesla2] = both(2);
  CHECK(tesla2.value == doctest::Approx(plain2.value).epsilon(1e-13));
  // Two steps by hand: d theta_2 = -a (dg(x; theta_0) + dg(x; theta_1)), theta_1 a constant; g = x (theta x - y).
  const double theta1 = Regression::after(r.x, r.rate, 1), theta2 = Regression::after(r.x, r.rate, 2);
  const double dg = (2 * r.start * r.x - r.y) + (2 * theta1 * r.x - r.y);
  const double expected = -2 * (theta2 - r.goal) * r.rate * dg / std::pow(r.start - r.goal, 2);
  CHECK(tesla2.x[0] == doctest::Approx(expected).epsilon(1e-12));
  CHECK(std::abs(tesla2.x[0] - plain2.x[0]) > 1e-2);
}

TEST_CASE("inner: a set that is the real data repeats the expert's steps") {
  InnerFixture f = pair_of_classes(kLinear);
  f.set("syn", "x", f.real.x.values());
  const Examples data{f.real.x, f.real.y, {}};
  Pass pass;
  Tensors weights;
  {
    const NetFunction net(f.roles.at("net"), pass, true);
    weights = net.weights();
    for (int i = 0; i < 4; ++i) {
      const Tensors g = inner_gradient(InnerLoss::ce, net, weights, data);
      for (std::size_t k = 0; k < g.size(); ++k) weights[k] = weights[k] - g[k] * .3;
    }
  }
  f.add("goal", f.roles.at("net").model->clone());
  std::size_t k = 0;
  for (const NamedParameter& p : parameters_of(*f.roles.at("goal").model))
    assign_(p.parameter->value, weights[k++], "test");
  CHECK(f.run(params("unroll(4 lr=syn.lr)", "loss: ce")).value < 1e-28);
  CHECK(f.run(params("unroll(3 lr=syn.lr)", "loss: ce")).value > 1e-3);
  CHECK(f.run(params("unroll(4 lr=.2)", "loss: ce")).value > 1e-3);
}

TEST_CASE("inner: gradients through momentum, minibatches and views agree with finite differences") {
  InnerFixture f("pixels(ipc=2 classes=2 lr=.3 channels=1 height=2 width=2)",
                 {.in = 4, .classes = 2, .widths = {3}, .act = Activation::tanh});
  f.set_real(std::vector<double>(8, .3), {0, 1});
  f.add("goal", f.roles.at("net").model->clone());
  initialize(*f.roles.at("goal").model, Rng(9));
  for (const char* solver :
       {"unroll(6 lr=syn.lr batch=3 momentum=.5)", "unroll(6 lr=syn.lr batch=3 momentum=.5 recompute=true)"})
    for (const char* ops : {"color", "scale", "rotate", "color_crop_cutout_flip_scale_rotate"}) {
      CAPTURE(solver);
      CAPTURE(ops);
      const std::string text = params(solver, fmt::format("loss: ce, view: dsa(own ops={})", ops));
      const auto got = f.run(text);
      for (const std::size_t i : {std::size_t{0}, std::size_t{6}, std::size_t{15}})
        CHECK(got.x[i] == doctest::Approx(f.slope(text, f.syn().x, i)).epsilon(1e-6));
      CHECK(got.lr[0] == doctest::Approx(f.slope(text, f.syn().lr, 0)).epsilon(1e-6));
    }
}

TEST_CASE("inner: a recomputed step stores less, and so does TESLA") {
  InnerFixture f("pixels(ipc=64 classes=2 lr=.3 channels=1 height=1 width=3)",
                 {.in = 3, .classes = 2, .widths = {16, 16, 16, 16}, .act = Activation::tanh});
  f.set_real({.5, -1, .3}, {0});
  f.add("goal", f.roles.at("net").model->clone());
  initialize(*f.roles.at("goal").model, Rng(9));
  const auto saved = [&](const std::string& solver) { return f.run(params(solver, "loss: ce")).saved; };
  CHECK(saved("unroll(8 lr=syn.lr recompute=true)") * 2 < saved("unroll(8 lr=syn.lr)"));
  CHECK(saved("tesla(8 lr=syn.lr)") * 2 < saved("unroll(8 lr=syn.lr)"));
}

namespace {
std::string compare(const std::string& statistic, const std::string& distance, const std::string& more = "") {
  return "{set: syn, net: net, statistic: " + statistic + ", solver: direct, distance: " + distance + more + "}";
}
}  // namespace

TEST_CASE("inner: gradient matching is 0 for a set that is the data, whatever the change, and blind to scale") {
  InnerFixture f("pixels(ipc=2 classes=2 channels=1 height=4 width=4)", {.in = 16, .classes = 2, .widths = {}});
  const std::vector<double> pixels = f.syn().x.value.values();
  f.set_real(pixels, {0, 0, 1, 1});
  const std::string text = compare("grad(of=kernels)", "row_cos", ", view: dsa(siamese)");
  for (f.step = 0; f.step < 12; ++f.step) CHECK(f.run(text).value < 1e-4);  // the code's 1e-6 beside the norms
  double apart = 0;
  for (f.step = 0; f.step < 12; ++f.step)
    apart += f.run(compare("grad(of=kernels)", "row_cos", ", view: dsa(own)")).value;
  CHECK(apart < 1e-4);  // one number for each image: the same draws on both sides
  // Rows of a linear layer are (p - y) x: with one image of a class, any positive multiple of it points the same way.
  InnerFixture one("pixels(ipc=1 classes=2 channels=1 height=1 width=3)", kLinear);
  one.set_real({.5, -1, .3, -.3, .8, .1}, {0, 1});
  one.set("syn", "x", {1.5, -3, .9, -.6, 1.6, .2});
  CHECK(one.run(compare("grad(of=kernels)", "row_cos")).value < 1e-4);
  CHECK(one.run(compare("grad(of=kernels)", "sq")).value > 1e-2);
  CHECK(one.run(compare("grad(of=kernels per=batch)", "row_cos")).value > 1e-3);
}

TEST_CASE(
    "inner: the pull of feature means on a linear map is -2/ipc W'(real - syn), 0 after a shift by their distance") {
  InnerFixture f = pair_of_classes(kLinear, "");
  const auto w = f.parameter("net", "head.weight").value.values();
  const auto x = f.syn().x.value.values(), real = f.real.x.values();
  const std::string text = compare("feature_mean(head)", "sq");
  const auto got = f.run(text);
  std::vector<double> shifted = x;
  for (std::size_t c = 0; c < 2; ++c) {
    std::vector<double> gap(3);
    for (std::size_t i = 0; i < 3; ++i)
      gap[i] = (real[6 * c + i] + real[6 * c + 3 + i] - x[6 * c + i] - x[6 * c + 3 + i]) / 2;
    for (std::size_t i = 0; i < 3; ++i) {
      double pull = 0;
      for (std::size_t o = 0; o < 2; ++o)
        pull += w[3 * o + i] * (w[3 * o] * gap[0] + w[3 * o + 1] * gap[1] + w[3 * o + 2] * gap[2]);
      for (std::size_t image = 0; image < 2; ++image) {
        CHECK(got.x[6 * c + 3 * image + i] == doctest::Approx(-pull).epsilon(1e-10));  // 2 / ipc = 1
        shifted[6 * c + 3 * image + i] += gap[i];
      }
    }
  }
  f.set("syn", "x", shifted);
  CHECK(f.run(text).value < 1e-28);
  CHECK(f.run(compare("feature_mean(head per=batch)", "sq")).value < 1e-28);
}

TEST_CASE("inner: characteristic functions of equal images agree, of opposite ones differ by 2 |sin|") {
  InnerFixture f("pixels(ipc=1 classes=1 channels=1 height=1 width=1)", {.in = 1, .classes = 2, .widths = {}});
  f.set_real({2}, {0});
  f.set("syn", "x", {3});  // of unit length both are 1
  const std::string text = compare("cf(512)", "ncf");
  CHECK(f.run(text).value == doctest::Approx(std::sqrt(.5e-12)).epsilon(1e-6));
  for (const double g : f.run(text).x) CHECK(std::isfinite(g));
  f.set("syn", "x", {-3});
  // mean over t ~ N(0, 1) of sqrt(1/2) 2 |sin t|: the same draws, so only their phase counts.
  const double value = f.run(text).value, phase_only = f.run(compare("cf(512)", "ncf(1 0)")).value;
  CHECK(value == doctest::Approx(std::sqrt(2.) * .555).epsilon(.1));
  CHECK(phase_only < 1e-9);
}

TEST_CASE("inner: the implicit gradient of a linearised network is that of its solution") {
  for (const char* how : {"", "labels=vectors"}) {
    CAPTURE(how);
    InnerFixture f = pair_of_classes(kHidden, how);
    f.syn().set_plain_labels();
    const auto text = [](const std::string& solver) {
      return "{set: syn, net: net, statistic: prediction(label), distance: ce_margin(2), solver: " + solver + "}";
    };
    const std::string exact = text("linearised(.05 by=cg steps=60)");
    const auto got = f.run(exact);
    for (const std::size_t i : {std::size_t{0}, std::size_t{4}, std::size_t{11}})
      CHECK(got.x[i] == doctest::Approx(f.slope(exact, f.syn().x, i)).epsilon(1e-5));
    if (!got.y.empty()) CHECK(got.y[1] == doctest::Approx(f.slope(exact, f.syn().y, 1)).epsilon(1e-5));
    // Without steps there is neither a change nor an implicit part: another function and another slope.
    CHECK(std::abs(f.run(text("linearised(.05 by=cg steps=0)")).x[0] - got.x[0]) > 1e-6);
    CHECK(std::isfinite(f.run(text("linearised(.05)")).x[0]));
  }
  // A linear network has no body to change: what is left is ridge regression beside its own answer.
  InnerFixture flat = pair_of_classes(kLinear, "");
  flat.set("net", "head.weight", std::vector<double>(6, 0));
  flat.set("net", "head.bias", {0, 0});
  const auto of = [&](const std::string& solver) {
    return flat.run("{set: syn, net: net, statistic: prediction(centred), distance: half_mse, solver: " + solver + "}");
  };
  const auto own = flat.syn().x.value.values();
  double trace = 0;
  for (const double v : own) trace += v * v;
  const std::string share = fmt::format("{:.17g}", .05 * 4 / (trace / 4));
  CHECK(of("linearised(.05 by=cg)").value == doctest::Approx(of("ridge(" + share + ")").value).epsilon(1e-10));
}

TEST_CASE("inner: ridge regression in its dual and primal form; the ridge is a constant of the gradient") {
  InnerFixture f = pair_of_classes(kHidden, "labels=vectors");
  f.syn().set_plain_labels();
  const std::string text =
      "{set: syn, net: net, statistic: prediction(centred), solver: ridge(.2), distance: half_mse}";
  const auto got = f.run(text);
  Pass pass;
  const NetFunction net(f.roles.at("net"), pass, true);
  const auto features = [&](const Tensor& x) { return net.taps(net.weights(), x, {{"head", "in"}})[0]; };
  const Tensor own = features(f.syn().x.value), seen = features(f.real.x);
  const Tensor kernel = matmul(own, own, false, true);
  double trace = 0;
  for (std::int64_t i = 0; i < 4; ++i) trace += select(select(kernel, 0, i), 0, i).item();
  std::vector<double> diagonal(16, 0);
  for (std::size_t i = 0; i < 4; ++i) diagonal[5 * i] = .2 * trace / 4;
  const Tensor gram = matmul(own, own, true, false) + Tensor::from(diagonal, {4, 4}, DType::f64);
  const Tensor primal = matmul(seen, solve(gram, matmul(own, f.syn().y.value, true, false)));
  const auto pred = primal.values();
  double half = 0;
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t c = 0; c < 2; ++c) half += std::pow(pred[2 * i + c] - ((i / 2 == c) ? .5 : -.5), 2) / 16;
  CHECK(got.value == doctest::Approx(half).epsilon(1e-10));
  CHECK(got.y[1] == doctest::Approx(f.slope(text, f.syn().y, 1)).epsilon(1e-7));
  CHECK(std::abs(got.x[0] - f.slope(text, f.syn().x, 0)) > 1e-6);  // the trace moves with x, its gradient is left out
}
