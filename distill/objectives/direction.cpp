#include "distill/objectives/direction.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/objectives/match.h"
#include "distill/objectives/tables/entries.h"

namespace retort {

namespace {
/// y / sqrt(|y|^2 + c^2), |y| over each sample.
Tensor huber_slope(const Tensor& y, double c) { return y * per_sample(rsqrt(sum(square(rows(y)), {1}) + c * c), y); }

class Direction final : public Term {
 public:
  explicit Direction(DirectionSpec spec) : spec_(std::move(spec)) {}
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return Scope::sample; }
  const std::vector<Read>& reads() const override { return spec_.reads; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return false; }
  double units(const Batch& batch) const override { return static_cast<double>(batch.size()); }

  Part eval(const TermInput& in) const override {
    const Tensor& x = in.batch.x;
    Tensor y;
    for (std::size_t i = 0; i < spec_.coefficients.size(); ++i) {
      const Tensor summand = in.signals[i][0] * spec_.coefficients[i].at(in.clock);
      y = y.defined() ? y + summand : summand;
    }
    const Tensor scale = per_sample(sample_weights(in), x);
    Tensor value;
    if (spec_.estimator == DirectionSpec::Estimator::push) {
      const Tensor g = stop_gradient(scale * y);
      value = square(x - stop_gradient(x - g)) * .5;
    } else if (spec_.estimator == DirectionSpec::Estimator::sim) {
      value = scale * huber_slope(y, spec_.c.at(in.clock)) * (own(in) - in.signals[0][0]);
    } else {
      const Tensor& tracker = in.signals[0][0];
      value = scale * (y * (x - tracker) + (1.0 - spec_.a.at(in.clock)) * square(y));
    }
    Part part;
    const double elements = static_cast<double>(x.numel()) / static_cast<double>(x.shape()[0]);
    part.total = spec_.mean_within ? sum(value) / elements : sum(value);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  /// What the term's space says of a state whose clean sample is known: x.
  Tensor own(const TermInput& in) const {
    const Tensor& t = in.states.at(spec_.plan.find(spec_.state)->time);
    return convert(Space::x0, spec_.space, in.batch.x, in.states.at(spec_.state), t, *in.schedule);
  }

  /// w(t) / n of each sample, constant.
  Tensor sample_weights(const TermInput& in) const {
    const Tensor& t = in.states.at(spec_.plan.find(spec_.state)->time);
    Tensor w = spec_.weight ? spec_.weight({t, {}, *in.schedule}) : Tensor::full({in.batch.size()}, 1.0, DType::f64);
    if (spec_.norm == DirectionSpec::Norm::l1) {
      const Tensor gap = rows(in.batch.x) - rows(in.signals.back()[0]);
      w = w / maximum(cast(mean(abs(gap), {1}), DType::f64), scalar_like(w, spec_.floor));
    }
    return stop_gradient(w);
  }

  DirectionSpec spec_;
};

void parse_norm(DirectionSpec& s, Config& node, std::size_t teacher) {
  const Call call = parse_call(node);
  if (call.name == "none") return;
  if (call.name != "l1") fail_lookup(call, "norm", {"none", "l1"});
  CallArgs args(call);
  s.norm = DirectionSpec::Norm::l1;
  s.floor = args.number("floor", {.min = 0});
  args.done();
  Read x0 = s.reads.at(teacher);
  x0.space = Space::x0;
  s.reads.push_back(std::move(x0));
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
  } else {
    fail_lookup(call, "estimator", {"push", "identity", "sim"});
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
  std::size_t teacher = 0;
  for (Config& entry : term.child("sum").items()) {
    const auto pair = entry.items();
    if (pair.size() != 2) entry.fail("a summand is [coefficient, read]");
    s.coefficients.push_back(Weight::parse(pair[0], numbers));
    Read read = parse_read(pair[1], numbers, s.plan);
    if (read.from == Read::From::out) {
      read.space = s.space;
      if (s.state.empty()) s.state = read.at;
    }
    if (read.role == "teacher") teacher = s.reads.size();
    s.reads.push_back(std::move(read));
  }
  const State* state = s.plan.find(s.state);
  if (!state || state->time.empty()) term.child("sum").fail("its reads need a state with a time: ROLE@z");
  if (term.has("weight")) s.weight = make_weight(parse_call(term.child("weight")));
  if (term.has("estimator")) parse_estimator(s, term.child("estimator"), numbers);
  if (s.estimator == DirectionSpec::Estimator::identity && s.space != Space::x0)
    term.child("space").fail("identity(a) is written in x0");
  if (term.has("norm")) parse_norm(s, term.child("norm"), teacher);
  s.mean_within = term.get_choice("reduce", {"sum/sample", "mean/sample"}) == "mean/sample";
  return s;
}

}  // namespace retort
