#include "distill/objectives/tables/scalar_functions.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
Tensor ones(const Tensor& like) { return like * 0. + 1.; }

FDivergence make_skew_js(TableArgs& args) {
  const double a = args.number("a", {.max = 1, .above = 0}), b = 1 - a;
  if (b == 0) args.call("a").fail("a skew divergence needs a < 1; rkl is its limit");
  return {[a, b](const Tensor& r) { return a * b * r / (a * r + b); },
          [a, b](const Tensor& r) { return a * a * b * square(r) / square(a * r + b); },
          // log(a e^l + b) = log b + softplus(l + log(a / b))
          [a, b](const Tensor& l) { return -b * (softplus(l + std::log(a / b)) + std::log(b)); }};
}

const Table<FDivergence>& divergences() {
  static const Table<FDivergence> entries{
      {"rkl",
       [](TableArgs&) {
         return FDivergence{ones, ones, [](const Tensor& l) { return -l; }};
       }},
      {"fkl",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return r; }, [](const Tensor& r) { return r * 0.; },
                            [](const Tensor& l) { return -exp(l); }};
       }},
      {"js",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return r / (1 + r); },
                            [](const Tensor& r) { return square(r / (1 + r)); },
                            [](const Tensor& l) { return -softplus(l); }};
       }},
      {"softened",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return reciprocal(1 + r); },
                            [](const Tensor& r) { return (1 + 2 * r) / square(1 + r); },
                            [](const Tensor& l) { return softplus(-l); }};
       }},
      {"hellinger",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return sqrt(r) / 4; }, [](const Tensor& r) { return sqrt(r) / 8; },
                            [](const Tensor& l) { return -.5 * exp(l / 2); }};
       }},
      {"jeffreys",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return 1 + r; }, ones, [](const Tensor& l) { return -l - exp(l); }};
       }},
      {"neyman",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return 2 / r; }, [](const Tensor& r) { return 4 / r; },
                            [](const Tensor& l) { return 2 * exp(-l); }};
       }},
      {"pearson",
       [](TableArgs&) {
         return FDivergence{[](const Tensor& r) { return 2 * square(r); },
                            [](const Tensor& r) { return -2 * square(r); },
                            [](const Tensor& l) { return -exp(2 * l); }};
       }},
      {"skew_js", make_skew_js},
  };
  return entries;
}

using Elementwise = Tensor (*)(const Tensor& l);

/// A loss of GANs: what the generator, and the discriminator for fake and real samples, makes of a logit.
struct GanLoss {
  Elementwise generator, fake, real;
};

Tensor nothing_saturates(const Tensor& l) { return softplus(-l); }
Tensor identity(const Tensor& l) { return l; }
Tensor negative(const Tensor& l) { return -l; }
Tensor half_square(const Tensor& l) { return square(l) / 2; }
Tensor half_gap_to_one(const Tensor& l) { return square(l - 1) / 2; }

const std::map<std::string, GanLoss, std::less<>>& gan_losses() {
  static const std::map<std::string, GanLoss, std::less<>> table{
      {"logistic_ns", {nothing_saturates, softplus, nothing_saturates}},
      {"logistic", {nothing_saturates, softplus, nothing_saturates}},
      {"minimax", {[](const Tensor& l) { return -softplus(l); }, softplus, nothing_saturates}},
      {"hinge", {negative, [](const Tensor& l) { return relu(1 + l); }, [](const Tensor& l) { return relu(1 - l); }}},
      {"wgan", {negative, identity, negative}},
      {"lsgan", {half_gap_to_one, half_square, half_gap_to_one}},
  };
  return table;
}

/// A function of logits, limited first when the call says so.
ScalarFunction of_logits(TableArgs& args, std::size_t reads, std::function<Tensor(const Tensors&)> f) {
  const double bound = args.number("clamp", INFINITY, {.above = 0});
  return {reads, [bound, f = std::move(f)](const Tensors& values, const Clock&) {
            if (std::isinf(bound)) return f(values);
            Tensors limited;
            for (const Tensor& l : values) limited.push_back(clamp(l, -bound, bound));
            return f(limited);
          }};
}

enum class Side { generator, fake, real, both };

template <Side side>
ScalarFunction make_gan(TableArgs& args) {
  const Call call = args.call("loss");
  if (call.name == "relativistic" && (side == Side::generator || side == Side::both)) {
    const double sign = side == Side::both ? 1 : -1;
    return of_logits(args, 2, [sign](const Tensors& v) { return softplus(sign * (v[0] - v[1])); });
  }
  const GanLoss loss = lookup(gan_losses(), call, "loss of GANs");
  if (side == Side::both)
    return of_logits(args, 2, [=](const Tensors& v) { return loss.fake(v[0]) + loss.real(v[1]); });
  const Elementwise f = side == Side::generator ? loss.generator : side == Side::fake ? loss.fake : loss.real;
  return of_logits(args, 1, [f](const Tensors& v) { return f(v[0]); });
}

ScalarFunction plain(Elementwise f) {
  return {1, [f](const Tensors& v, const Clock&) { return f(v[0]); }};
}

const Table<ScalarFunction>& functions() {
  static const Table<ScalarFunction> entries{
      {"gan_g", make_gan<Side::generator>},
      {"gan_fake", make_gan<Side::fake>},
      {"gan_real", make_gan<Side::real>},
      {"gan_d", make_gan<Side::both>},
      {"phi",
       [](TableArgs& args) {
         const FDivergence f = make_divergence(args.call("f"));
         return of_logits(args, 1, [f](const Tensors& v) { return f.phi(v[0]); });
       }},
      {"neg", [](TableArgs&) { return plain(negative); }},
      {"relu_below",
       [](TableArgs& args) {
         return ScalarFunction{
             1, [a = args.scheduled("a")](const Tensors& v, const Clock& clock) { return relu(a.at(clock) - v[0]); }};
       }},
      {"half_sq", [](TableArgs&) { return plain(half_square); }},
      {"entropy", [](TableArgs&) { return plain([](const Tensor& z) { return -softmax(z, 1) * log_softmax(z, 1); }); }},
  };
  return entries;
}
}  // namespace

FDivergence make_divergence(const Call& call) {
  const NumberMap none;
  TableArgs args(call, none);
  FDivergence f = lookup(divergences(), call, "f-divergence")(args);
  args.done();
  return f;
}

ScalarFunction make_scalar_function(const Call& call, const NumberMap& numbers) {
  TableArgs args(call, numbers);
  ScalarFunction f = lookup(functions(), call, "function")(args);
  args.done();
  return f;
}

}  // namespace retort
