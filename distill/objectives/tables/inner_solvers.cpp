// distill/objectives/tables/inner_solvers.cpp -- how the net of an Inner term comes to its weights or predictions.
#include "distill/objectives/tables/inner_solvers.h"

#include "autograd/checkpoint.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/inner.h"
#include "distill/objectives/match.h"

namespace retort {

namespace {
using Problem = std::shared_ptr<const InnerProblem>;

InnerSolution at_weights(const Problem& p, std::vector<Tensors> weights) {
  const Tensors last = weights.back();
  return {std::move(weights), [p, last](const Tensor& x) { return p->net.logits(last, x); }};
}

InnerSolver make_direct(TableArgs&) {
  return [](const Problem& p) { return at_weights(p, {p->net.weights()}); };
}

/// Gradient descent on the set.
struct Unroll {
  std::int64_t steps = 1, batch = 0, keep = 0;
  double momentum = 0;
  bool recompute = false;
  bool truncate = false;  ///< TESLA: a step's gradient does not see how its weights came about
  std::optional<Weight> rate;

  InnerSolution operator()(const Problem& p) const {
    const std::size_t n = p->net.weights().size();
    const Tensor lr = rate ? scalar_like(p->set.x.value, rate->at(p->clock)) : p->rate;
    if (!lr.defined()) throw ConfigError("{}: the set has no learning rate; give it pixels(lr=..)", p->stream);
    Tensors weights = p->net.weights(), velocity(n);
    std::vector<Tensors> stops;
    for (std::int64_t i = 0; i < steps; ++i) {
      Tensors g = gradient(p, weights, i);
      if (i < steps - keep)
        for (Tensor& t : g) t = stop_gradient(t);
      for (std::size_t k = 0; k < n; ++k) {
        if (momentum > 0) g[k] = velocity[k] = velocity[k].defined() ? velocity[k] * momentum + g[k] : g[k];
        weights[k] = weights[k] - lr * g[k];
      }
      const auto goals = static_cast<std::int64_t>(p->goals), done = static_cast<std::int64_t>(stops.size());
      if ((i + 1) * goals >= (done + 1) * steps) stops.push_back(weights);
    }
    return at_weights(p, std::move(stops));
  }

 private:
  /// The gradient of step i at `weights`. What it takes from the set goes in as inputs, so that a recomputed step sees
  /// the same tensors.
  Tensors gradient(const Problem& p, const Tensors& weights, std::int64_t i) const {
    const SetRows seen = p->rows(slots(p, i));
    Tensors in;
    for (const Tensor& w : weights) in.push_back(truncate ? stop_gradient(w) : w);
    const std::size_t n = in.size();
    in.push_back(seen.x);
    const bool soft = seen.target.defined();
    if (soft) in.push_back(seen.target);
    const auto attempt = static_cast<std::uint32_t>(i);
    const auto step = [p, n, soft, label = seen.label, attempt](std::span<const Tensor> given) {
      Examples data{given[n], label, soft ? given[n + 1] : Tensor()};
      if (p->view) {
        const RngKey key = p->pass.rng.stream(p->stream + "/dsa", p->pass.step, attempt);
        data.x = (*p->view)(data.x, key, data.x.meta() ? Tensor() : arange(data.x.size(0)));
      }
      return inner_gradient(p->loss, p->net, {given.begin(), given.begin() + static_cast<std::ptrdiff_t>(n)}, data);
    };
    return recompute ? checkpoint(CheckpointFunction(step), in, n) : step(in);
  }

  /// The slots of step i: all, or the next of a random order, drawn anew when it has been gone through.
  Tensor slots(const Problem& p, std::int64_t i) const {
    const std::int64_t all = p->set.slots();
    if (batch <= 0 || batch >= all) return {};
    if (p->set.x.value.meta()) return Tensor::empty({batch}, DType::i64, p->set.x.value.device());
    const std::int64_t per_pass = all / batch, pass = i / per_pass, first = i % per_pass * batch;
    const RngKey key = p->pass.rng.stream(p->stream + "/order", p->pass.step, static_cast<std::uint32_t>(pass));
    std::vector<std::int64_t> chosen;
    for (std::int64_t k = 0; k < batch; ++k)
      chosen.push_back(static_cast<std::int64_t>(
          permuted_index(key, static_cast<std::uint64_t>(all), static_cast<std::uint64_t>(first + k))));
    return Tensor::of<std::int64_t>(chosen, {batch});
  }
};

Unroll parse_unroll(TableArgs& args, const std::string& set) {
  Unroll u;
  u.steps = args.integer("steps", {.min = 1});
  const Call rate = args.call("lr");
  if (rate.name != set + ".lr") u.rate = args.of(rate);
  u.batch = args.integer("batch", 0, {.min = 0});
  u.keep = u.steps;
  return u;
}

/// K_tp (K_pp + lambda tr(K_pp) / n)^-1 y on features, with y the set's labels (Zhou et al. 2022).
InnerSolver make_ridge(TableArgs& args) {
  const double lambda = args.number("lambda", 1e-6, {.min = 0});
  const TapId tap = parse_tap(args.word("tap", "head:in"));
  const bool bias = args.word("bias", "false") == "true";
  return [=](const Problem& p) {
    const Tensors weights = p->net.weights();
    const auto features = [p, weights, tap, bias](const Tensor& x) {
      const Tensor f = reshape(p->net.taps(weights, x, {tap})[0], {x.size(0), -1});
      return bias ? concat(Tensors{f, Tensor::full({x.size(0), 1}, 1, f.dtype(), f.device())}, 1) : f;
    };
    const SetRows seen = p->rows({});
    const Tensor own = features(seen.x), kernel = matmul(own, own, false, true);
    const std::int64_t n = own.size(0);
    const Tensor unit = eye(n, own.dtype(), own.device());
    const Tensor ridge = stop_gradient(sum(kernel * unit)) * (lambda / static_cast<double>(n));
    const std::int64_t classes = p->set.config.classes;
    const Tensor y = seen.target.defined()
                         ? seen.target
                         : one_hot(seen.label, classes, own.dtype()) - 1.0 / static_cast<double>(classes);
    const Tensor dual = solve(kernel + unit * ridge, y);
    return InnerSolution{{weights}, [features, own, dual](const Tensor& x) {
                           return matmul(matmul(features(x), own, false, true), dual);
                         }};
  };
}
}  // namespace

InnerSolver make_inner_solver(const Call& call, const std::string& set, const NumberMap& numbers) {
  TableArgs args(with_numbers(call, numbers), numbers);
  InnerSolver solver;
  if (call.name == "direct") {
    solver = make_direct(args);
  } else if (call.name == "ridge") {
    solver = make_ridge(args);
  } else if (call.name == "linearised") {
    solver = make_linearised(args);
  } else if (call.name == "unroll") {
    Unroll u = parse_unroll(args, set);
    u.momentum = args.number("momentum", 0.0, {.min = 0, .max = 1});
    u.keep = args.integer("keep", u.steps, {.min = 0});
    u.recompute = args.word("recompute", "false") == "true";
    solver = u;
  } else if (call.name == "tesla") {
    Unroll u = parse_unroll(args, set);
    u.truncate = u.recompute = true;
    solver = u;
  } else {
    fail_lookup(call, "solver", {"direct", "unroll", "tesla", "ridge", "linearised"});
  }
  args.done();
  return solver;
}

}  // namespace retort
