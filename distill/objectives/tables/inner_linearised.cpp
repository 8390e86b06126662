// distill/objectives/tables/inner_linearised.cpp -- a network whose body is linear in its change and whose head is a
// ridge regression: a convex inner problem, differentiated where it ends (RCIG, Loo et al. 2023, 2302.06755).
#include <cmath>

#include "autograd/jvp.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/shape.h"
#include "distill/objectives/tables/inner_solvers.h"

namespace retort {

namespace {
using Problem = std::shared_ptr<const InnerProblem>;

double dot(const Tensors& a, const Tensors& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += sum(a[i] * b[i]).item();
  return total;
}

/// a + s b.
Tensors added(const Tensors& a, const Tensors& b, double s) {
  Tensors c;
  for (std::size_t i = 0; i < a.size(); ++i) c.push_back(a[i] + b[i] * s);
  return c;
}

Tensors zeros_like(const Tensors& like) {
  Tensors zeros;
  for (const Tensor& t : like) zeros.push_back(Tensor::zeros(t.shape(), t.dtype(), t.device()));
  return zeros;
}

/// x with H x = b, for H as a function.
using Product = std::function<Tensors(const Tensors&)>;

Tensors conjugate_gradients(const Product& h, const Tensors& b, std::int64_t steps) {
  Tensors x = zeros_like(b), r = b, p = b;
  double size = dot(r, r);
  const double enough = size * 1e-28;
  for (std::int64_t i = 0; i < steps && size > enough; ++i) {
    const Tensors hp = h(p);
    const double a = size / dot(p, hp);
    x = added(x, p, a);
    r = added(r, hp, -a);
    const double next = dot(r, r);
    p = added(r, p, next / size);
    size = next;
  }
  return x;
}

/// Adam on x'Hx / 2 - b'x.
Tensors adam(const Product& h, const Tensors& b, std::int64_t steps, double lr) {
  Tensors x = zeros_like(b), m = zeros_like(b), v = zeros_like(b);
  for (std::int64_t i = 1; i <= steps; ++i) {
    const Tensors g = added(h(x), b, -1);
    for (std::size_t k = 0; k < x.size(); ++k) {
      m[k] = m[k] * 0.9 + g[k] * 0.1;
      v[k] = v[k] * 0.999 + square(g[k]) * 0.001;
      const double c1 = 1 - std::pow(0.9, i), c2 = 1 - std::pow(0.999, i);
      x[k] = x[k] - m[k] / c1 * lr / (sqrt(v[k] / c2) + 1e-8);
    }
  }
  return x;
}

/// The net at weights theta + change, linear in the change of its body, with a ridge regression on base features.
class LinearisedNet {
 public:
  LinearisedNet(Problem p, double lambda) : p_(std::move(p)), theta_(p_->net.weights()) {
    const auto parameters = parameters_of(*p_->net.role().model);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (!parameters[i].name.starts_with("head.")) body_.push_back(i);
    lambda_ = lambda * static_cast<double>(p_->set.slots());
  }
  Tensors no_change() const {
    Tensors like;
    for (const std::size_t i : body_) like.push_back(theta_[i]);
    return zeros_like(like);
  }
  Tensor answer(const Tensor& x, const Tensors& change) const {
    Tensors along(theta_.size());
    for (std::size_t k = 0; k < body_.size(); ++k) along[body_[k]] = change[k];
    const auto f = [&](std::span<const Tensor> w) { return Tensors{p_->net.logits({w.begin(), w.end()}, x)}; };
    const JvpResult r = jvp(f, theta_, along, JvpMode::tracked);
    return r.out[0] + r.tangent[0];
  }
  Tensor features(const Tensor& x) const {
    return reshape(p_->net.taps(theta_, x, {{"head", "in"}})[0], {x.size(0), -1});
  }

  /// The regression of what the linear part leaves over, y - answer, on the set's features.
  struct Fit {
    Tensor kernel, dual;
  };
  Fit fit(const SetRows& set, const Tensors& change) const {
    const Tensor own = features(set.x), kernel = matmul(own, own, false, true);
    const Tensor ridge = kernel + eye(kernel.size(0), kernel.dtype(), kernel.device()) * lambda_;
    return {kernel, solve(ridge, labels(set) - answer(set.x, change))};
  }
  /// [|y - out - K a|^2 + lambda (a'Ka + |change|^2)] / (2 n C), quadratic in the change.
  Tensor loss(const SetRows& set, const Tensors& change) const {
    const Fit f = fit(set, change);
    Tensor total = sum(square(f.dual)) * (lambda_ * lambda_) + sum(f.dual * matmul(f.kernel, f.dual)) * lambda_;
    for (const Tensor& d : change) total = total + sum(square(d)) * lambda_;
    return total * (0.5 / static_cast<double>(f.dual.numel()));
  }
  Tensors gradient(const SetRows& set, const Tensors& change) const {
    Tape tape;
    Tensors leaves;
    for (const Tensor& d : change) leaves.push_back(tape.watch(d));
    return tape.gradients(loss(set, leaves), leaves);
  }
  Tensor predict(const Tensor& x, const SetRows& set, const Tensors& change) const {
    return answer(x, change) + matmul(matmul(features(x), features(set.x), false, true), fit(set, change).dual);
  }

 private:
  Tensor labels(const SetRows& set) const {
    if (set.target.defined()) return set.target;
    const auto classes = static_cast<double>(p_->set.config.classes);
    return one_hot(set.label, p_->set.config.classes, set.x.dtype()) - 1.0 / classes;
  }

  Problem p_;
  Tensors theta_;
  std::vector<std::size_t> body_;
  double lambda_;
};
}  // namespace

InnerSolver make_linearised(TableArgs& args) {
  const double lambda = args.number("lambda", 5e-4, {.above = 0}), lr = args.number("lr", 1e-3, {.above = 0});
  const auto steps = args.integer("steps", 20, {.min = 0});
  const Call by{args.word("by", "adam"), {}, "by"};
  const bool exact = lookup(std::map<std::string, bool>{{"adam", false}, {"cg", true}}, by, "way to solve");
  const auto solved = [=](const Product& h, const Tensors& b) {
    return exact ? conjugate_gradients(h, b, steps) : adam(h, b, steps, lr);
  };
  return [=](const Problem& p) {
    const auto net = std::make_shared<const LinearisedNet>(p, lambda);
    const SetRows set = p->rows({});
    SetRows fixed = set;
    fixed.x = stop_gradient(set.x);
    if (set.target.defined()) fixed.target = stop_gradient(set.target);
    // The loss is quadratic, so differences of gradients are products with its Hessian.
    const Tensors at_zero = net->gradient(fixed, net->no_change());
    const Product hessian = [net, fixed, at_zero](const Tensors& v) {
      return added(net->gradient(fixed, v), at_zero, -1);
    };
    const bool meta = set.x.meta();
    const Tensors change = meta ? at_zero : solved(hessian, added(zeros_like(at_zero), at_zero, -1));
    const auto tape = std::make_shared<Tape>();
    Tensors leaves;
    for (const Tensor& d : change) leaves.push_back(tape->watch(d));
    InnerSolution solution;
    solution.weights = {p->net.weights()};
    solution.predict = [net, set, leaves](const Tensor& x) { return net->predict(x, set, leaves); };
    // d(change)/d(set) = -H^-1 d(gradient)/d(set): the adjoint comes in as -v'gradient with H v = d(total)/d(change).
    solution.finish = [=](const Tensor& total) {
      Tensors g = tape->gradients(total, leaves);
      for (Tensor& t : g) t = stop_gradient(t);
      const Tensors v = meta ? g : solved(hessian, g), live = net->gradient(set, change);
      Tensor implicit;
      for (std::size_t i = 0; i < v.size(); ++i) {
        const Tensor part = sum(live[i] * v[i]);
        implicit = implicit.defined() ? implicit + part : part;
      }
      if (!implicit.defined()) return total;
      const Tensor value = below(total, *lift_of(leaves[0])->level);
      return value - (implicit - stop_gradient(implicit));
    };
    return solution;
  };
}

}  // namespace retort
