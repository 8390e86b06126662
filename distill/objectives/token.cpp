#include "distill/objectives/token.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/losses.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/match.h"
#include "distill/objectives/tables/views.h"

namespace retort {

namespace {
using Against = TokenDivergence::Against;

class Token final : public Term {
 public:
  explicit Token(TokenSpec spec) : spec_(std::move(spec)), reads_{spec_.student} {
    reads_.insert(reads_.end(), spec_.targets.begin(), spec_.targets.end());
  }
  const std::string& name() const override { return spec_.name; }
  Scope scope() const override { return Scope::sample; }
  const std::vector<Read>& reads() const override { return reads_; }
  const StatePlan& plan() const override { return spec_.plan; }
  bool uses_labels() const override { return spec_.d.against == Against::tokens; }

  double units(const Batch& batch) const override { return spec_.reduce.units(batch); }

  Part eval(const TermInput& in) const override {
    const TokenPlaces places = places_of(in.batch);
    TokenComparison c{in.batch, places, {}, {}, {}, spec_.T_student, spec_.T_target, in.clock};
    if (in.pass) {
      c.rng = in.pass->rng;
      c.step = in.pass->step;
    }
    if (places.size() == 0) {  // a filter may leave nothing
      const Tensor none = sum(in.signals[0][0]) * 0.0;
      return {none, stop_gradient(none)};
    }
    Tensor value = fusable(in) ? fused(in, c) : whole(in, c);
    if (spec_.T2) value = value * (spec_.T_student * spec_.T_target);
    if (spec_.clip) {
      const Tensor most = scalar_like(value, *spec_.clip);
      value = where(less(value, most), value, most);
    }
    Part part;
    part.total = spec_.reduce.total(value, spec_.weight ? spec_.weight(c) : Tensor(), in.batch, places);
    part.shown = stop_gradient(part.total);
    return part;
  }

 private:
  /// Both output layers are at hand and nothing needs the logits.
  bool fusable(const TermInput& in) const {
    const bool supported = spec_.support.k == 0 || spec_.support.tail == TokenSupport::Tail::bucket;
    if (!spec_.d.parts || spec_.map || spec_.weight || !supported || in.signals.size() != 2) return false;
    return in.signals[0].size() == 2 && in.signals[1].size() == 2 && spec_.targets[0].from == Read::From::apart;
  }

  Tensor picked(const TermInput& in, std::size_t read, const TokenPlaces& places) const {
    const Read& r = read == 0 ? spec_.student : spec_.targets[read - 1];
    const auto at = r.at == "x" ? in.states.end() : in.states.find(r.at + "/at");
    return pick_places(in.signals[read][0], places, at == in.states.end() ? Tensor() : at->second);
  }

  Tensor fused(const TermInput& in, const TokenComparison& c) const {
    const LinearHead student{picked(in, 0, c.places), in.signals[0][1]};
    LinearHead teacher{picked(in, 1, c.places), in.signals[1][1]};
    if (teacher.hidden.dtype() != student.hidden.dtype())
      teacher = {cast(teacher.hidden, student.hidden.dtype()), cast(teacher.weight, student.hidden.dtype())};
    return in_parts(in.clock, [&](DivergenceAttrs d) {
      d.student_temperature = spec_.T_student;
      d.teacher_temperature = spec_.T_target;
      d.top_k = spec_.support.k < student.weight.size(0) ? spec_.support.k : 0;
      d.select_by_student = spec_.support.by_student;
      return linear_divergence(d, student, teacher);
    });
  }

  Tensor in_parts(const Clock& clock, const std::function<Tensor(const DivergenceAttrs&)>& f) const {
    Tensor total;
    for (const auto& [share, attrs] : spec_.d.parts(clock)) {
      if (share == 0) continue;
      const Tensor part = share == 1 ? f(attrs) : f(attrs) * share;
      total = total.defined() ? total + part : part;
    }
    return total;
  }

  Tensor logits(const TermInput& in, std::size_t read, const TokenPlaces& places) const {
    const Tensor rows = picked(in, read, places);
    const bool hidden = in.signals[read].size() == 2 && spec_.d.against != Against::hidden;
    return hidden ? linear(rows, in.signals[read][1]) : rows;
  }

  Tensor whole(const TermInput& in, TokenComparison& c) const {
    c.student = logits(in, 0, c.places);
    if (spec_.d.against == Against::tokens) return spec_.d.value(c);
    Tensor stored;
    for (std::size_t k = 0; k < spec_.targets.size(); ++k) {
      const bool table = spec_.targets[k].from == Read::From::store;
      const Tensor read = stop_gradient(logits(in, k + 1, c.places));
      const std::int64_t kept = read.size(1) / 2;  // of a table: ids, then log-probabilities
      c.targets.push_back(table ? slice(read, 1, kept) : read);
      if (table) stored = cast(slice(read, 1, 0, kept), DType::i64);
    }
    c.target = c.targets[0];
    if (spec_.map) {
      std::vector<Tensors> by_read;
      for (const Tensor& z : c.targets) by_read.push_back({z});
      c.target =
          stop_gradient(spec_.map({by_read, {stop_gradient(c.student)}, c.batch, spec_.T_target, c.clock}).at(0));
    }
    if (c.target.dtype() != c.student.dtype()) c.target = cast(c.target, c.student.dtype());
    if (stored.defined() || (spec_.support.k > 0 && spec_.support.k < c.student.size(1))) return on_tops(c, stored);
    if (spec_.d.against == Against::target && !spec_.d.ragged && !(c.target.shape() == c.student.shape()))
      throw ShapeError("term {}: student and target differ in vocabulary; got {} and {}", spec_.name, c.student.str(),
                       c.target.str());
    return spec_.d.parts ? in_parts(in.clock,
                                    [&](DivergenceAttrs d) {
                                      d.student_temperature = spec_.T_student;
                                      d.teacher_temperature = spec_.T_target;
                                      return divergence(d, c.student, c.target);
                                    })
                         : spec_.d.value(c);
  }

  Tensor on_tops(const TokenComparison& c, const Tensor& stored) const {
    const auto [s, p] = on_support(spec_.support, c, stored);
    if (spec_.support.tail == TokenSupport::Tail::zero) return sum(exp(p) * (p - s), {1});
    const Tensor student = s, target = p;
    return in_parts(c.clock, [&](const DivergenceAttrs& d) { return divergence(d, student, target); });
  }

  TokenSpec spec_;
  std::vector<Read> reads_;
};

void parse_temperatures(TokenSpec& s, Config& term) {
  if (term.has("T")) {
    const auto T = term.get<std::vector<double>>("T");
    if (T.size() != 2 || T[0] <= 0 || T[1] <= 0) term.child("T").fail("expected [student, target], both positive");
    s.T_student = T[0];
    s.T_target = T[1];
    const bool tempered = T[0] != 1 || T[1] != 1;
    if (tempered && !term.has("T2")) term.fail("T2 must be written (true or false) when T is not 1");
  }
  s.T2 = term.get("T2", false);
}

}  // namespace

std::unique_ptr<Term> make_token(TokenSpec spec) { return std::make_unique<Token>(std::move(spec)); }

Read parse_token_read(Config& node, Read::From from, StatePlan& plan) {
  Read r;
  r.from = from;
  if (node.is_scalar()) {
    r.role = node.as<std::string>();
    return r;
  }
  if (node.has("store")) {
    r.from = Read::From::store;
    r.role = node.get<std::string>("store");
    return r;
  }
  r.role = node.get<std::string>("role");
  const std::string view = node.get("view", "same");
  if (view == "same") return r;
  const Call call = parse_call(node.child("view"));
  r.at = call.str();
  if (!plan.find(r.at))
    for (State& state : view_states(r.at, make_view(call))) plan.states.push_back(std::move(state));
  return r;
}

TokenSpec parse_token(const std::string& name, Config& term, const NumberMap& numbers) {
  TokenSpec s;
  s.name = name;
  s.student = parse_token_read(term.child("student"), Read::From::apart, s.plan);
  s.student.live = true;
  s.d = make_token_divergence(parse_call(term.child("divergence")), numbers);
  if (s.d.against == Against::tokens) {
    if (term.has("target")) term.child("target").fail("this divergence compares with the tokens themselves");
  } else if (Config& target = term.child("target"); target.is_list()) {
    for (Config& c : target.items()) s.targets.push_back(parse_token_read(c, Read::From::apart, s.plan));
  } else {
    s.targets.push_back(parse_token_read(target, Read::From::apart, s.plan));
  }
  if (term.has("map")) s.map = make_target_map(parse_call(term.child("map")), numbers);
  if (s.targets.size() > 1 && !s.map) term.fail("several targets need a `map` that makes one of them");
  if (term.has("support")) s.support = parse_support(parse_call(term.child("support")));
  if (s.support.k > 0 && !s.d.parts) term.child("support").fail("this divergence takes the whole vocabulary");
  const bool table = !s.targets.empty() && s.targets[0].from == Read::From::store;
  if (table && s.support.k == 0) term.fail("stored outcomes need `support: top(k ..)`");
  if (table && s.map) term.child("map").fail("stored outcomes are taken as they are");
  if (term.has("weight")) s.weight = make_token_weight(parse_call(term.child("weight")), numbers);
  if (term.has("clip")) s.clip = term.get_real("clip");
  parse_temperatures(s, term);
  s.reduce = parse_token_reduce(term);
  return s;
}

}  // namespace retort
