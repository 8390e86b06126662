#include "distill/objectives/policy.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "distill/objectives/token.h"
#include "tensor/transfer.h"

namespace retort {

namespace {
class Policy final : public Term {
 public:
  explicit Policy(PolicySpec spec) : spec_(std::move(spec)) {
    for (const auto& entry : spec_.advantages)
      if (entry.second.scope == Scope::batch) scope_ = Scope::batch;
  }
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return scope_; }
  const std::vector<Read>& reads() const override { return spec_.reads; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return false; }
  double units(const Batch& batch) const override { return scope_ == Scope::batch ? 1.0 : spec_.reduce.units(batch); }

  Part eval(const TermInput& in) const override {
    const TokenPlaces places = places_of(in.batch);
    SurrogateInput s;
    s.clock = in.clock;
    s.log_prob = by_place(in.signals[0][0], places);
    const auto constant = [&](const Tensor& t) { return beside(s.log_prob, by_place(t, places)); };
    for (std::size_t k = 1; k < spec_.reads.size(); ++k) s.others[spec_.names[k]] = constant(in.signals[k][0]);
    const auto known = [&](const char* name) {
      const auto found = in.batch.more.find(name);
      return found == in.batch.more.end() ? Tensor() : constant(found->second);
    };
    s.old = known("lp_old");
    s.is_weight = known("is_weight");
    s.off_policy = known("off_policy");
    if (!spec_.advantages.empty()) s.advantage = advantage(in, places, s);
    Part part;
    part.total = spec_.reduce.total(spec_.surrogate.loss(s), {}, in.batch, places);
    if (scope_ == Scope::batch) part.total = part.total / std::max(spec_.reduce.units(in.batch), 1.0);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  /// [N], constant.
  Tensor advantage(const TermInput& in, const TokenPlaces& places, const SurrogateInput& s) const {
    if (in.batch.x.meta()) return stop_gradient(s.log_prob);
    PolicyData data{in.batch, places.row.values<std::int64_t>(), places.rows, {}, in.clock};
    data.log_prob["student"] = to(s.log_prob, kCpu).values();
    for (const auto& [name, value] : s.others) data.log_prob[name] = to(value, kCpu).values();
    if (s.old.defined()) data.log_prob["old"] = to(s.old, kCpu).values();
    std::vector<double> total(data.size(), 0);
    for (const auto& [weight, expression] : spec_.advantages) {
      const PolicyValue v = expression.value(data);
      const double c = weight.at(in.clock);
      for (std::size_t i = 0; i < total.size(); ++i)
        total[i] += c * v.values[v.by_row ? static_cast<std::size_t>(data.row[i]) : i];
    }
    return to(Tensor::from(total, {places.size()}, s.log_prob.dtype()), s.log_prob.device());
  }

  PolicySpec spec_;
  Scope scope_ = Scope::sample;
};

/// Log-probabilities that expressions name: of `with`, or of a role under that name.
void add_read(PolicySpec& s, Config& term, const std::string& name) {
  if (std::find(s.names.begin(), s.names.end(), name) != s.names.end()) return;
  Read read;
  read.role = name;
  read.from = Read::From::log_prob;
  if (term.has("with") && term.child("with").has(name))
    read = parse_token_read(term.child("with").child(name), Read::From::log_prob, s.plan);
  s.reads.push_back(std::move(read));
  s.names.push_back(name);
}
}  // namespace

std::unique_ptr<Term> make_policy(PolicySpec spec) { return std::make_unique<Policy>(std::move(spec)); }

PolicySpec parse_policy(const std::string& name, Config& term, const NumberMap& numbers) {
  PolicySpec s;
  s.name = name;
  s.reads.push_back(parse_token_read(term.child("policy"), Read::From::log_prob, s.plan));
  s.reads[0].live = true;
  s.names.push_back("student");
  s.surrogate = make_surrogate(parse_call(term.child("surrogate")), numbers);
  for (const std::string& other : s.surrogate.names) add_read(s, term, other);
  if (s.surrogate.needs_advantage) {
    for (Config& entry : term.child("advantage").items()) {
      const auto fields = entry.items();
      if (fields.size() != 2) entry.fail("expected [coefficient, expression]");
      s.advantages.emplace_back(Weight::parse(fields[0], numbers), make_advantage(parse_call(fields[1]), numbers));
      for (const std::string& other : s.advantages.back().second.names) add_read(s, term, other);
    }
    if (s.advantages.empty()) term.child("advantage").fail("name at least one");
  } else if (term.has("advantage")) {
    term.child("advantage").fail("this surrogate takes none");
  }
  s.reduce = parse_token_reduce(term);
  return s;
}

}  // namespace retort
