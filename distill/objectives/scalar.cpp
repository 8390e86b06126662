#include "distill/objectives/scalar.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/match.h"

namespace retort {

namespace {
class Scalar final : public Term {
 public:
  explicit Scalar(ScalarSpec spec) : spec_(std::move(spec)) {}
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return Scope::sample; }
  const std::vector<Read>& reads() const override { return spec_.reads; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return false; }
  double units(const Batch& batch) const override { return static_cast<double>(batch.size()); }

  Part eval(const TermInput& in) const override {
    Tensors values;
    for (const Tensors& list : in.signals) {
      Tensors flat;
      for (const Tensor& t : list) flat.push_back(rows(t));
      values.push_back(flat.size() == 1 ? flat[0] : concat(flat, 1));
    }
    Tensor value = spec_.fn.value(values, in.clock);
    if (spec_.weight) {
      const Tensor& t = in.states.at(spec_.plan.find(spec_.reads[0].at)->time);
      value = value * per_sample(stop_gradient(spec_.weight({t, {}, *in.schedule})), value);
    }
    Part part;
    const auto numbers = static_cast<double>(value.numel()) / static_cast<double>(value.shape()[0]);
    part.total = spec_.mean_within ? sum(value) / numbers : sum(value);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  ScalarSpec spec_;
};
}  // namespace

std::unique_ptr<Term> make_scalar(ScalarSpec spec) { return std::make_unique<Scalar>(std::move(spec)); }

ScalarSpec parse_scalar(const std::string& name, Config& term, const NumberMap& numbers,
                        const NoiseSchedule* schedule) {
  ScalarSpec s;
  s.name = name;
  s.plan = parse_plan(term, numbers, schedule);
  s.reads = parse_reads(term.child("read"), numbers, s.plan, true);
  s.fn = make_scalar_function(parse_call(term.child("fn")), numbers);
  if (s.reads.size() != s.fn.reads)
    term.child("read").fail(fmt::format("the function takes {} reads; got {}", s.fn.reads, s.reads.size()));
  if (term.has("weight")) {
    const State* state = s.plan.find(s.reads[0].at);
    if (!state || state->time.empty()) term.child("weight").fail("the first read is at no noisy state");
    s.weight = make_weight(parse_call(term.child("weight")));
  }
  s.mean_within = term.get_choice("reduce", {"sum/sample", "mean/sample"}) == "mean/sample";
  return s;
}

}  // namespace retort
