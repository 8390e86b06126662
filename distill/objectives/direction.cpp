#include "distill/objectives/direction.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/match.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
/// y / sqrt(|y|^2 + c^2), |y| over each sample.
Tensor huber_slope(const Tensor& y, double c) { return y * per_sample(rsqrt(sum(square(rows(y)), {1}) + c * c), y); }

class Direction final : public Term {
 public:
  explicit Direction(DirectionSpec spec) : spec_(std::move(spec)) {}
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return spec_.x_read ? Scope::batch : Scope::sample; }
  const std::vector<Read>& reads() const override { return spec_.reads; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return false; }
  double units(const Batch& batch) const override { return spec_.x_read ? 1 : static_cast<double>(batch.size()); }

  Part eval(const TermInput& in) const override {
    const Tensor& x = sample(in);
    Tensors parts(spec_.parts);
    for (std::size_t i = 0; i < spec_.summands.size(); ++i) {
      const DirectionSpec::Summand& s = spec_.summands[i];
      Tensor value = in.signals[i][0] * s.coefficient.at(in.clock);
      if (s.share) value = value * per_sample(s.share({time(in), {}, *in.schedule}), value);
      Tensor& part = parts[s.part];
      part = part.defined() ? part + value : value;
    }
    const Tensor y = spec_.combine ? spec_.combine(parts, time(in), in.clock) : parts[0];
    const Tensor value = estimate(in, y, per_sample(sample_weights(in), x));
    Part part;
    const auto samples = static_cast<double>(x.shape()[0]), elements = static_cast<double>(x.numel()) / samples;
    part.total = sum(value) / ((spec_.mean_within ? elements : 1) * (spec_.x_read ? samples : 1));
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  /// Live in the student. A batch seen as a whole has it among its signals.
  const Tensor& sample(const TermInput& in) const { return spec_.x_read ? in.signals[*spec_.x_read][0] : in.batch.x; }

  /// Elementwise, from the sum y and a constant scale per sample.
  Tensor estimate(const TermInput& in, const Tensor& y, const Tensor& scale) const {
    using Estimator = DirectionSpec::Estimator;
    const Tensor &x = sample(in), &tracker = in.signals[0][0];
    switch (spec_.estimator) {
      case Estimator::push: {
        Tensor g = stop_gradient(scale * y);
        for (const Filter& filter : spec_.filters) g = filter(g, in.clock);
        return square(x - stop_gradient(x - g)) * .5;
      }
      case Estimator::huber: {
        const double c = spec_.c.at(in.clock);
        return scale * (sqrt(square(x - stop_gradient(x - y)) + c * c) - c);
      }
      case Estimator::sim:
        return scale * huber_slope(y, spec_.c.at(in.clock)) * (own(in) - tracker);
      case Estimator::expansion: {
        const Tensor r = per_sample(ratio(in), y);
        const FDivergence& f = spec_.ratio->f;
        return scale * (2.0 * f.h(r) * y * (x - tracker) + f.rest(r) * square(y));
      }
      default:
        return scale * (y * (x - tracker) + (1.0 - spec_.a.at(in.clock)) * square(y));
    }
  }

  /// r = q / p of each sample, [n], live in the state where the read is.
  Tensor ratio(const TermInput& in) const {
    const RatioWeight& how = *spec_.ratio;
    Tensors logits;
    for (const Tensor& l : in.signals[*spec_.ratio_read]) logits.push_back(rows(l));
    const Tensor l = mean(logits.size() == 1 ? logits[0] : concat(logits, 1), {1});
    return clamp(exp(clamp(l, -how.bound, how.bound)), how.low, how.high);
  }

  const Tensor& time(const TermInput& in) const { return in.states.at(spec_.plan.find(spec_.state)->time); }
  /// What the term's space says of a state whose clean sample is known: x.
  Tensor own(const TermInput& in) const {
    return convert(Space::x0, spec_.space, sample(in), in.states.at(spec_.state), time(in), *in.schedule);
  }

  /// w(t) / n of each sample, constant.
  Tensor sample_weights(const TermInput& in) const {
    const Tensor& x = sample(in);
    const Device host = host_of(x.device());
    Tensor w =
        spec_.weight ? spec_.weight({time(in), {}, *in.schedule}) : Tensor::full({x.shape()[0]}, 1.0, DType::f64, host);
    if (spec_.norm == DirectionSpec::Norm::l1) {
      const Tensor gap = over_groups(mean(abs(rows(x) - rows(in.signals[*spec_.scale_read][0])), {1}));
      w = w / maximum(cast(on_host(gap), DType::f64), Tensor::full({}, spec_.floor, DType::f64, host));
    }
    if (spec_.ratio && spec_.estimator != DirectionSpec::Estimator::expansion) {
      const Tensor h = cast(on_host(spec_.ratio->f.h(ratio(in))), DType::f64);
      w = w * (spec_.ratio->mean_one ? h / mean(h) : h);
    }
    return stop_gradient(w);
  }

  /// Means of adjacent samples in place of each, [n].
  Tensor over_groups(const Tensor& values) const {
    if (spec_.group == 1) return values;
    const std::int64_t n = values.shape()[0];
    if (n % spec_.group != 0)
      throw ShapeError("term {}: {} samples are not whole groups of {}", spec_.name, n, spec_.group);
    const Tensor groups = reshape(values, {n / spec_.group, spec_.group});
    return reshape(broadcast_to(mean(groups, {1}, true), groups.shape()), {n});
  }

  DirectionSpec spec_;
};

void parse_norm(DirectionSpec& s, Config& node) {
  const Call call = parse_call(node);
  if (call.name == "none") return;
  if (call.name != "l1") fail_lookup(call, "norm", {"none", "l1"});
  CallArgs args(call);
  s.norm = DirectionSpec::Norm::l1;
  s.floor = args.number("floor", {.min = 0});
  s.group = args.integer("group", 1, {.min = 1});
  args.done();
  const auto find = [&](bool any) {
    return std::find_if(s.reads.begin(), s.reads.end(),
                        [any](const Read& r) { return r.role == "teacher" && (any || r.cond != "null"); });
  };
  const auto teacher = find(false) != s.reads.end() ? find(false) : find(true);
  if (teacher == s.reads.end()) node.fail("l1 is the distance to the teacher's x0, which the sum does not read");
  Read x0 = *teacher;
  x0.space = Space::x0;
  s.scale_read = s.reads.size();
  s.reads.push_back(std::move(x0));
}

/// `ratio`: the read of logits, and what h is.
void parse_ratio(DirectionSpec& s, Config& node, const NumberMap& numbers) {
  RatioWeight& how = s.ratio ? *s.ratio : s.ratio.emplace();
  const bool expansion = s.estimator == DirectionSpec::Estimator::expansion;
  if (!expansion) how.f = make_divergence(parse_call(node.child("h")));
  how.bound = node.get_real("bound", how.bound, {.above = 0});
  if (node.has("clip")) {
    const auto clip = node.get<std::vector<double>>("clip");
    if (clip.size() != 2 || clip[0] < 0 || clip[1] <= clip[0]) node.child("clip").fail("expected [low, high]");
    how.low = clip[0];
    how.high = clip[1];
  }
  how.mean_one = !expansion && node.get("mean_one", false);
  Read logits = parse_read(node.child("read"), numbers, s.plan);
  logits.live = expansion;
  s.ratio_read = s.reads.size();
  s.reads.push_back(std::move(logits));
  if (!how.mean_one) return;
  Read x;
  x.from = Read::From::state;
  x.live = true;
  s.x_read = s.reads.size();
  s.reads.push_back(std::move(x));
}

void parse_filters(DirectionSpec& s, Config& node, const NumberMap& numbers) {
  const auto add = [&](Config& entry) { s.filters.push_back(make_filter(parse_call(entry), numbers)); };
  if (s.estimator != DirectionSpec::Estimator::push) node.fail("filters are of the estimator push");
  if (!node.is_list()) return add(node);
  for (Config& entry : node.items()) add(entry);
}

void parse_summand(DirectionSpec& s, Config& entry, std::size_t part, Space space, const NumberMap& numbers) {
  const auto fields = entry.items();
  if (fields.size() != 2 && fields.size() != 3)
    entry.fail("a summand is [coefficient, read] or [coefficient, read, weight]");
  s.summands.push_back({Weight::parse(fields[0], numbers),
                        fields.size() == 3 ? make_weight(parse_call(fields[2])) : TimeWeight(), part});
  Read read = parse_read(fields[1], numbers, s.plan);
  const State* state = s.plan.find(read.at);
  if (read.from == Read::From::out && state && !state->time.empty()) {  // what a role says of clean states is raw
    read.space = space;
    if (s.state.empty()) s.state = read.at;
  }
  s.reads.push_back(std::move(read));
}

/// A list of summands, or named lists with `combine`.
void parse_sum(DirectionSpec& s, Config& term, Space space, const NumberMap& numbers) {
  Config& node = term.child("sum");
  if (node.is_list()) {
    for (Config& entry : node.items()) parse_summand(s, entry, 0, space, numbers);
    return;
  }
  s.parts = 0;
  for (Config& part : node.items()) {
    for (Config& entry : part.items()) parse_summand(s, entry, s.parts, space, numbers);
    ++s.parts;
  }
  s.combine = make_combine(parse_call(term.child("combine")), numbers, s.parts);
}

void parse_estimator(DirectionSpec& s, Config& node, const NumberMap& numbers) {
  const Call call = parse_call(node);
  TableArgs args(call, numbers);
  if (call.name == "push") {
    s.estimator = DirectionSpec::Estimator::push;
  } else if (call.name == "identity") {
    s.estimator = DirectionSpec::Estimator::identity;
    s.a = args.scheduled("a");
    for (Read& r : s.reads) r.live = true;
  } else if (call.name == "sim") {
    s.estimator = DirectionSpec::Estimator::sim;
    s.c = args.scheduled("c");
    for (Read& r : s.reads) r.live = true;
  } else if (call.name == "huber") {
    s.estimator = DirectionSpec::Estimator::huber;
    s.c = args.scheduled("c");
  } else if (call.name == "expansion") {
    s.estimator = DirectionSpec::Estimator::expansion;
    s.ratio.emplace().f = make_divergence(args.call("f"));
    for (Read& r : s.reads) r.live = true;
  } else {
    fail_lookup(call, "estimator", {"push", "huber", "identity", "sim", "expansion"});
  }
  args.done();
}
}  // namespace

std::unique_ptr<Term> make_direction(DirectionSpec spec) { return std::make_unique<Direction>(std::move(spec)); }

DirectionSpec parse_direction(const std::string& name, Config& term, const NumberMap& numbers,
                              const NoiseSchedule* schedule) {
  DirectionSpec s;
  s.name = name;
  s.plan = parse_plan(term, numbers, schedule);
  s.space = make_space(parse_call(term.child("space")));
  parse_sum(s, term, s.space, numbers);
  const State* state = s.plan.find(s.state);
  if (!state || state->time.empty()) term.child("sum").fail("its reads need a state with a time: ROLE@z");
  if (term.has("weight")) s.weight = make_weight(parse_call(term.child("weight")));
  if (term.has("estimator")) parse_estimator(s, term.child("estimator"), numbers);
  using Estimator = DirectionSpec::Estimator;
  if ((s.estimator == Estimator::identity || s.estimator == Estimator::expansion) && s.space != Space::x0)
    term.child("space").fail("identity(a) and expansion(f) are written in x0");
  if (term.has("filter")) parse_filters(s, term.child("filter"), numbers);
  if (term.has("norm")) parse_norm(s, term.child("norm"));
  if (term.has("ratio")) parse_ratio(s, term.child("ratio"), numbers);
  if (s.estimator == Estimator::expansion && !s.ratio_read)
    term.child("estimator").fail("expansion(f) needs the ratio: {read: LOGITS}");
  s.mean_within = term.get_choice("reduce", {"sum/sample", "mean/sample"}) == "mean/sample";
  return s;
}

}  // namespace retort
