#include "distill/objectives/match.h"

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/reduce.h"

namespace retort {

namespace {
class Match final : public Term {
 public:
  explicit Match(MatchSpec spec) : spec_(std::move(spec)) {}
  Scope scope() const override { return spec_.d.scope; }
  const Read& pred() const override { return spec_.pred; }
  const Read* target() const override { return spec_.target ? &*spec_.target : nullptr; }

  double units(const Batch& batch) const override {
    if (spec_.d.scope == Scope::batch) return 1.0;
    if (!spec_.d.labels) return static_cast<double>(batch.size());
    if (batch.y.meta()) return static_cast<double>(batch.size());
    double labelled = 0;
    for (const std::int64_t label : batch.y.values<std::int64_t>()) labelled += label >= 0;
    return labelled;
  }

  Part eval(const Batch& batch, const Signals& signals) const override {
    Comparison c{spec_.relate(signals.pred),
                 signals.target.defined() ? spec_.relate(signals.target) : Tensor(),
                 batch.y,
                 batch.y2,
                 batch.lambda,
                 spec_.T_pred,
                 spec_.T_target};
    if (c.target.defined() && !(c.target.shape() == c.pred.shape()))
      throw ShapeError(
          "term {}: prediction and target differ in shape; got {} and {}; hint: a head maps one to the "
          "other",
          spec_.name, c.pred.str(), c.target.str());
    const Tensor value = spec_.d.value(c);
    double scale = spec_.T2 ? spec_.T_pred * spec_.T_target : 1.0;
    if (spec_.mean_within) scale /= static_cast<double>(c.pred.numel()) / static_cast<double>(c.pred.shape()[0]);
    Part part;
    part.total = sum(value) * scale;
    part.shown = stop_gradient(part.total);
    if (spec_.d.floor) part.shown = part.shown - sum(stop_gradient(spec_.d.floor(c))) * scale;
    return part;
  }

 private:
  MatchSpec spec_;
};

Read parse_read(Config& node) {
  Read r;
  if (node.is_scalar()) {
    r.role = node.as<std::string>();
    return r;
  }
  r.role = node.get<std::string>("role");
  if (node.has("head")) {
    r.from = Read::From::head;
    r.head = node.get<std::string>("head");
  } else if (node.has("tap")) {
    r.from = Read::From::tap;
    r.tap = {node.get<std::string>("tap"), node.get("port", "out")};
  } else {
    node.get_choice("out", {"logits", "out"}, "out");
  }
  return r;
}
}  // namespace

std::unique_ptr<Term> make_match(MatchSpec spec) { return std::make_unique<Match>(std::move(spec)); }

MatchSpec parse_match(const std::string& name, Config& term) {
  MatchSpec s;
  s.name = name;
  s.pred = parse_read(term.child("pred"));
  Config& target = term.child("target");
  if (!(target.is_scalar() && target.as<std::string>() == "label")) s.target = parse_read(target);
  s.d = make_discrepancy(parse_call(term.child("d")));
  if (s.d.labels && s.target) target.fail("this discrepancy compares with labels; write target: label");
  if (!s.d.labels && !s.target) target.fail("this discrepancy needs a read of a role, not labels");
  s.relate = term.has("relate") ? make_relation(parse_call(term.child("relate"))) : [](const Tensor& t) { return t; };
  if (term.has("T")) {
    const auto T = term.get<std::vector<double>>("T");
    if (T.size() != 2 || T[0] <= 0 || T[1] <= 0) term.child("T").fail("expected [prediction, target], both positive");
    if (!s.d.logits) term.child("T").fail("this discrepancy takes no temperature");
    s.T_pred = T[0];
    s.T_target = T[1];
    const bool tempered = T[0] != 1 || T[1] != 1;
    if (tempered && !term.has("T2")) term.fail("T2 must be written (true or false) when T is not 1");
  }
  s.T2 = term.get("T2", false);
  const std::string unit = s.d.scope == Scope::batch ? "batch" : "sample";
  const std::string reduce = term.get_choice("reduce", {"sum/" + unit, "mean/" + unit});
  s.mean_within = reduce.starts_with("mean");
  if (s.mean_within && s.d.scope == Scope::batch)
    term.child("reduce").fail("a batch term is one unit; write sum/batch");
  return s;
}

}  // namespace retort
