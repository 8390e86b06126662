// distill/objectives/tables/token_support.cpp -- which outcomes of a vocabulary are compared, and what becomes of the
// rest.
#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/nn.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sort.h"
#include "distill/objectives/tables/tokens.h"

namespace retort {

namespace {
using Tail = TokenSupport::Tail;

/// log(1 - e^a) for a <= 0, from below where a is 0.
Tensor log_rest(const Tensor& log_mass) {
  constexpr double kSwitch = -0.6931471805599453, kLeast = -1e-7;
  const Tensor a = minimum(log_mass, kLeast);
  const Tensor near = less(scalar_like(a, kSwitch), a);
  const Tensor small = where(near, a, scalar_like(a, -.5)), large = where(near, scalar_like(a, -1), a);
  return where(near, log(neg(expm1(small))), log1p(neg(exp(large))));
}

/// The log-probabilities of the k outcomes and of all others: exact, by leaving those k out of the sum.
Tensor with_bucket(const Tensor& log_prob, const Tensor& kept) {
  const Tensor taken =
      scatter_add(Tensor::full(kept.shape(), 1, log_prob.dtype(), log_prob.device()), 1, kept, log_prob.size(1));
  const Tensor rest = where(less(taken, scalar_like(taken, .5)), log_prob, scalar_like(log_prob, -INFINITY));
  return concat(Tensors{gather(log_prob, 1, kept), logsumexp(rest, {1}, true)}, 1);
}

/// Outcomes not kept share what is left of the target's mass.
Tensor spread_evenly(const Tensor& log_kept, const Tensor& kept, std::int64_t vocab) {
  const double others = static_cast<double>(vocab - kept.size(1));
  const Tensor each = log_rest(logsumexp(log_kept, {1}, true)) - std::log(others);
  return scatter(broadcast_to(each, {kept.size(0), vocab}), 1, kept, log_kept);
}
}  // namespace

TokenSupport parse_support(const Call& call) {
  CallArgs args(call);
  TokenSupport support;
  if (call.name == "full") return args.done(), support;
  if (call.name != "top") fail_lookup(call, "support", {"full", "top"});
  static const std::map<std::string, Tail, std::less<>> tails{
      {"renormalise", Tail::renormalise}, {"bucket", Tail::bucket}, {"zero", Tail::zero}, {"uniform", Tail::uniform}};
  support.k = args.integer("k", {.min = 1});
  const std::string by = args.word("by", "teacher");
  if (by != "teacher" && by != "student") call.fail("the likeliest outcomes are the teacher's or the student's");
  support.by_student = by == "student";
  support.tail = lookup(tails, Call{args.word("tail", "bucket"), {}, call.where}, "tail");
  args.done();
  return support;
}

std::pair<Tensor, Tensor> on_support(const TokenSupport& support, const TokenComparison& c, const Tensor& stored) {
  const Tensor s = log_softmax(tempered(c.student, c.T_student));
  const std::int64_t vocab = s.size(1);
  Tensor kept = stored, log_kept = c.target, p;
  if (!stored.defined()) {
    if (support.k >= vocab) throw ShapeError("support: {} outcomes of {}", support.k, vocab);
    p = log_softmax(tempered(c.target, c.T_target));
    kept = top_k(stop_gradient(support.by_student ? s : p), support.k, 1).indices;
    log_kept = gather(p, 1, kept);
  } else if (c.T_target != 1) {
    throw ConfigError("support: stored log-probabilities have no other temperature; got {}", c.T_target);
  }
  switch (support.tail) {
    case Tail::renormalise:
      return {log_softmax(gather(s, 1, kept)), log_softmax(log_kept)};
    case Tail::zero:
      return {gather(s, 1, kept), log_kept};
    case Tail::uniform:
      return {s, spread_evenly(log_kept, kept, vocab)};
    case Tail::bucket:
      return {with_bucket(s, kept), p.defined()
                                        ? with_bucket(p, kept)
                                        : concat(Tensors{log_kept, log_rest(logsumexp(log_kept, {1}, true))}, 1)};
  }
  throw InternalError("support: unknown tail");
}

}  // namespace retort
