#include "distill/objectives/direction.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "distill/objectives/match.h"

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
    Tensors parts(spec_.parts);
    for (std::size_t i = 0; i < spec_.summands.size(); ++i) {
      const DirectionSpec::Summand& s = spec_.summands[i];
      Tensor value = in.signals[i][0] * s.coefficient.at(in.clock);
      if (s.share) value = value * per_sample(s.share({time(in), {}, *in.schedule}), value);
      Tensor& part = parts[s.part];
      part = part.defined() ? part + value : value;
    }
    const Tensor y = spec_.combine ? spec_.combine(parts, time(in), in.clock) : parts[0];
    const Tensor scale = per_sample(sample_weights(in), x);
    Tensor value;
    if (spec_.estimator == DirectionSpec::Estimator::push) {
      Tensor g = stop_gradient(scale * y);
      for (const Filter& filter : spec_.filters) g = filter(g, in.clock);
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
  const Tensor& time(const TermInput& in) const { return in.states.at(spec_.plan.find(spec_.state)->time); }
  /// What the term's space says of a state whose clean sample is known: x.
  Tensor own(const TermInput& in) const {
    return convert(Space::x0, spec_.space, in.batch.x, in.states.at(spec_.state), time(in), *in.schedule);
  }

  /// w(t) / n of each sample, constant.
  Tensor sample_weights(const TermInput& in) const {
    const Device device = in.batch.x.device();
    Tensor w = spec_.weight ? spec_.weight({time(in), {}, *in.schedule})
                            : Tensor::full({in.batch.size()}, 1.0, DType::f64, device);
    if (spec_.norm == DirectionSpec::Norm::l1) {
      const Tensor gap = rows(in.batch.x) - rows(in.signals.back()[0]);
      w = w / maximum(cast(mean(abs(gap), {1}), DType::f64), Tensor::full({}, spec_.floor, DType::f64, device));
    }
    return stop_gradient(w);
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
  args.done();
  const auto find = [&](bool any) {
    return std::find_if(s.reads.begin(), s.reads.end(),
                        [any](const Read& r) { return r.role == "teacher" && (any || r.cond != "null"); });
  };
  const auto teacher = find(false) != s.reads.end() ? find(false) : find(true);
  if (teacher == s.reads.end()) node.fail("l1 is the distance to the teacher's x0, which the sum does not read");
  Read x0 = *teacher;
  x0.space = Space::x0;
  s.reads.push_back(std::move(x0));
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
  if (read.from == Read::From::out) {
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
  parse_sum(s, term, s.space, numbers);
  const State* state = s.plan.find(s.state);
  if (!state || state->time.empty()) term.child("sum").fail("its reads need a state with a time: ROLE@z");
  if (term.has("weight")) s.weight = make_weight(parse_call(term.child("weight")));
  if (term.has("estimator")) parse_estimator(s, term.child("estimator"), numbers);
  if (s.estimator == DirectionSpec::Estimator::identity && s.space != Space::x0)
    term.child("space").fail("identity(a) is written in x0");
  if (term.has("filter")) parse_filters(s, term.child("filter"), numbers);
  if (term.has("norm")) parse_norm(s, term.child("norm"));
  s.mean_within = term.get_choice("reduce", {"sum/sample", "mean/sample"}) == "mean/sample";
  return s;
}

}  // namespace retort
