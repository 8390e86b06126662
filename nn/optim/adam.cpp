#include "nn/optim/adam.h"

#include <cmath>

#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kAdamStep("adamw_step");
}

Adam::Adam(const AdamOptions& options, bool decoupled) : options_(options), decoupled_(decoupled) {
  const auto rate = [](double beta) { return beta >= 0 && beta < 1; };
  if (!rate(options.beta1) || !rate(options.beta2))
    throw ValueError("adam: betas lie in [0, 1); got {} and {}", options.beta1, options.beta2);
  if (!(options.eps > 0) || !(options.weight_decay >= 0))
    throw ValueError("adam: eps is positive and weight decay not negative; got {} and {}", options.eps,
                     options.weight_decay);
}

void Adam::update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) {
  const auto steps = static_cast<double>(t);
  const AdamAttrs attrs{.lr = lr,
                        .beta1 = options_.beta1,
                        .beta2 = options_.beta2,
                        .eps = options_.eps,
                        .weight_decay = p.decays ? options_.weight_decay : 0,
                        .correction1 = 1 - std::pow(options_.beta1, steps),
                        .correction2 = 1 - std::pow(options_.beta2, steps),
                        .decoupled = decoupled_};
  const Tensor out[] = {p.value, state[0], state[1], p.shadow};
  run_kernel(kAdamStep, std::span(&grad, 1), AttrBox::of(attrs), out);
  for (const Tensor& written : out)
    if (written.defined()) written.storage()->mark_written("adamw_step");
}

}  // namespace retort
