#include "distill/diffusion/guidance.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/diffusion/schedule.h"

namespace retort {

namespace {
/// Axes of x [n, ...] within a sample.
Axes within(const Tensor& x) {
  std::vector<int> axes;
  for (int a = 1; a < x.rank(); ++a) axes.push_back(a);
  return Axes(axes);
}

void require_samples(const Tensor& x, std::string_view who) {
  if (x.rank() < 2) throw ShapeError("{}: needs samples [n, ...]; got {}", who, x.str());
}

Tensor deviation(const Tensor& x) { return sqrt(var(x, within(x), 0, true)); }
}  // namespace

Tensor guide(const Tensor& null, const Tensor& cond, const Tensor& scale) {
  return null + per_sample(scale, cond) * (cond - null);
}

Tensor guide_multi(const Tensor& null, std::span<const Tensor> conds, std::span<const Tensor> scales) {
  if (conds.size() != scales.size())
    throw ShapeError("guide_multi: {} conditions and {} scales", conds.size(), scales.size());
  Tensor out = null;
  for (std::size_t j = 0; j < conds.size(); ++j) out = out + per_sample(scales[j], null) * (conds[j] - null);
  return out;
}

Tensor guide_perp_neg(const Tensor& null, const Tensor& cond, std::span<const Tensor> negatives,
                      std::span<const double> weights, const Tensor& scale) {
  if (negatives.size() != weights.size())
    throw ShapeError("guide_perp_neg: {} negatives and {} weights", negatives.size(), weights.size());
  require_samples(cond, "guide_perp_neg");
  const Tensor e = cond - null, length2 = maximum(sum(square(e), within(e), true), 1e-6);
  Tensor direction = e;
  for (std::size_t j = 0; j < negatives.size(); ++j) {
    const Tensor away = negatives[j] - null;
    direction = direction + weights[j] * (away - sum(away * e, within(e), true) / length2 * e);
  }
  return null + per_sample(scale, cond) * direction;
}

Tensor rescale_std(const Tensor& guided, const Tensor& cond, double share) {
  require_samples(guided, "rescale_std");
  return guided * (share * (deviation(cond) / deviation(guided)) + (1 - share));
}

Tensor extrapolate(const Tensor& a, const Tensor& b, const Tensor& w) { return a + per_sample(w, a) * (a - b); }

namespace {
/// A literal, or the name of a number that is known only at the step.
class Scale {
 public:
  explicit Scale(const Call& call) : literal_(call.number()), name_(call.name) {
    if (!call.args.empty()) call.fail("a scale is a number or the name of one");
  }
  bool is(double value) const { return literal_ == value; }
  std::vector<std::string> names() const {
    return literal_ ? std::vector<std::string>{} : std::vector<std::string>{name_};
  }
  /// On the device of the predictions.
  Tensor value(const NamedTensors& numbers, const NamedTensors& of) const {
    return literal_ ? Tensor::scalar(*literal_, DType::f64, of.begin()->second.device())
                    : find(numbers, name_, "number");
  }
  static const Tensor& find(const NamedTensors& tensors, const std::string& name, std::string_view what) {
    const auto hit = tensors.find(name);
    if (hit == tensors.end()) throw ConfigError("guidance: the {} '{}' is missing", what, name);
    return hit->second;
  }

 private:
  std::optional<double> literal_;
  std::string name_;
};

const Tensor& prediction(const NamedTensors& of, const std::string& condition) {
  return Scale::find(of, condition, "prediction under");
}

Guidance scaled(const Scale& scale, const std::string& cond, const std::string& null) {
  // Not only cheaper: 0 (cond - null) would carry NaNs of a prediction that does not count.
  if (scale.is(1) || scale.is(0)) {
    const std::string only = scale.is(1) ? cond : null;
    return {{only}, {}, [only](const NamedTensors& of, const NamedTensors&) { return prediction(of, only); }};
  }
  return {{null, cond}, scale.names(), [=](const NamedTensors& of, const NamedTensors& numbers) {
            return guide(prediction(of, null), prediction(of, cond), scale.value(numbers, of));
          }};
}

Guidance make_scale(const Call&, CallArgs& args) {
  const Scale scale(args.call("scale"));
  const std::string cond = args.word("cond", "cond"), null = args.word("null", "null");
  return scaled(scale, cond, null);
}

Guidance make_negative(const Call&, CallArgs& args) { return scaled(Scale(args.call("scale")), "cond", "negative"); }

/// The named arguments NAME=value of a call; `known` are the parameters that are not conditions.
std::vector<Arg> conditions_of(const Call& call, CallArgs& args) {
  std::vector<Arg> named;
  for (const Arg& arg : call.args) {
    if (arg.name.empty()) continue;
    named.push_back(arg);
    args.call(arg.name);
  }
  if (named.empty()) call.fail("needs at least one condition=number");
  return named;
}

Guidance make_multi(const Call& call, CallArgs& args) {
  Guidance g{{"null"}, {}, {}};
  std::vector<std::string> names;
  std::vector<Scale> scales;
  for (const Arg& arg : conditions_of(call, args)) {
    names.push_back(arg.name);
    scales.emplace_back(arg.value);
    const auto numbers = scales.back().names();
    g.numbers.insert(g.numbers.end(), numbers.begin(), numbers.end());
  }
  g.conditions.insert(g.conditions.end(), names.begin(), names.end());
  g.apply = [names, scales](const NamedTensors& of, const NamedTensors& numbers) {
    std::vector<Tensor> conds, values;
    for (std::size_t j = 0; j < names.size(); ++j) {
      conds.push_back(prediction(of, names[j]));
      values.push_back(scales[j].value(numbers, of));
    }
    return guide_multi(prediction(of, "null"), conds, values);
  };
  return g;
}

Guidance make_perp_neg(const Call& call, CallArgs& args) {
  std::vector<std::string> names;
  std::vector<double> weights;
  for (const Arg& arg : conditions_of(call, args)) {
    const auto weight = arg.value.number();
    if (!weight) call.fail(fmt::format("the weight of '{}' must be a number", arg.name));
    names.push_back(arg.name);
    weights.push_back(*weight);
  }
  const Scale scale(args.call("scale"));
  Guidance g{{"null", "cond"}, scale.names(), {}};
  g.conditions.insert(g.conditions.end(), names.begin(), names.end());
  g.apply = [=](const NamedTensors& of, const NamedTensors& numbers) {
    std::vector<Tensor> negatives;
    for (const std::string& name : names) negatives.push_back(prediction(of, name));
    return guide_perp_neg(prediction(of, "null"), prediction(of, "cond"), negatives, weights, scale.value(numbers, of));
  };
  return g;
}

Guidance make_rescale(const Call&, CallArgs& args) {
  const double share = args.number("share", {.min = 0, .max = 1});
  Guidance inner = make_guidance(args.call("guidance"));
  Guidance g{inner.conditions, inner.numbers, {}};
  if (std::find(g.conditions.begin(), g.conditions.end(), "cond") == g.conditions.end()) g.conditions.push_back("cond");
  g.apply = [share, apply = std::move(inner.apply)](const NamedTensors& of, const NamedTensors& numbers) {
    return rescale_std(apply(of, numbers), prediction(of, "cond"), share);
  };
  return g;
}

Guidance make_extrapolate(const Call&, CallArgs& args) {
  const Scale w(args.call("w"));
  const std::string a = args.word("a"), b = args.word("b");
  return {{a, b}, w.names(), [=](const NamedTensors& of, const NamedTensors& numbers) {
            return extrapolate(prediction(of, a), prediction(of, b), w.value(numbers, of));
          }};
}
}  // namespace

Guidance make_guidance(const Call& call) {
  using Make = Guidance (*)(const Call&, CallArgs&);
  static const std::map<std::string, Make, std::less<>> table{
      {"scale", make_scale},       {"multi", make_multi},         {"negative", make_negative},
      {"perp_neg", make_perp_neg}, {"rescale_std", make_rescale}, {"extrapolate", make_extrapolate}};
  if (call.args.empty() && !table.contains(call.name)) return scaled(Scale(call), "cond", "null");
  CallArgs args(call);
  Guidance g = lookup(table, call, "guidance")(call, args);
  args.done();
  return g;
}

}  // namespace retort
