#include "distill/objectives/preference.h"

#include <algorithm>
#include <set>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"
#include "distill/objectives/token.h"

namespace retort {

namespace {
class Preference final : public Term {
 public:
  explicit Preference(PreferenceSpec spec) : spec_(std::move(spec)) {}
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return spec_.fn.scope; }
  const std::vector<Read>& reads() const override { return spec_.reads; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return false; }

  double units(const Batch& batch) const override { return scope() == Scope::batch ? 1.0 : count(batch); }

  Part eval(const TermInput& in) const override {
    if (!spec_.fn.lists && in.batch.size() % 2 != 0)
      throw ShapeError("term {}: pairs are two rows each; got {}", spec_.name, in.batch.size());
    const TokenPlaces places = places_of(in.batch);
    const Tensor score = scored(in.signals[0][0], places);
    const Tensor reference =
        spec_.reads.size() > 1 ? stop_gradient(cast(scored(in.signals[1][0], places), score.dtype())) : score * 0.0;
    Part part;
    part.total = sum(spec_.fn.value({score, stop_gradient(reference), in.batch, in.clock}));
    if (scope() == Scope::batch) part.total = part.total / std::max(count(in.batch), 1.0);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  double count(const Batch& batch) const {
    const auto pairs = static_cast<double>(batch.size()) / 2;
    if (!spec_.fn.lists || batch.x.meta()) return pairs;
    const auto ids = batch.more.at("group").values<std::int64_t>();
    return static_cast<double>(std::set<std::int64_t>(ids.begin(), ids.end()).size());
  }

  Tensor scored(const Tensor& log_prob, const TokenPlaces& places) const {
    const Tensor total = sum(log_prob, {1});
    if (!spec_.mean) return total;
    return total / beside(total, maximum(places.length, 1.0));
  }

  PreferenceSpec spec_;
};
}  // namespace

std::unique_ptr<Term> make_preference(PreferenceSpec spec) { return std::make_unique<Preference>(std::move(spec)); }

PreferenceSpec parse_preference(const std::string& name, Config& term, const NumberMap& numbers) {
  PreferenceSpec s;
  s.name = name;
  s.reads.push_back(parse_token_read(term.child("policy"), Read::From::log_prob, s.plan));
  s.reads[0].live = true;
  if (term.has("reference")) s.reads.push_back(parse_token_read(term.child("reference"), Read::From::log_prob, s.plan));
  s.mean = term.get_choice("score", {"sum", "mean"}) == "mean";
  s.fn = make_preference_function(parse_call(term.child("fn")), numbers);
  return s;
}

}  // namespace retort
