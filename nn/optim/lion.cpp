#include "nn/optim/lion.h"

#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kLionStep("lion_step");
}

Lion::Lion(const LionOptions& options) : options_(options) {
  const auto rate = [](double beta) { return beta >= 0 && beta < 1; };
  if (!rate(options.beta1) || !rate(options.beta2))
    throw ValueError("lion: betas lie in [0, 1); got {} and {}", options.beta1, options.beta2);
  if (!(options.weight_decay >= 0))
    throw ValueError("lion: weight decay is not negative; got {}", options.weight_decay);
}

void Lion::update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t) {
  const LionAttrs attrs{lr, options_.beta1, options_.beta2, p.decays ? options_.weight_decay : 0};
  const Tensor out[] = {p.value, state[0], p.shadow};
  run_kernel(kLionStep, std::span(&grad, 1), AttrBox::of(attrs), out);
  for (const Tensor& t : out)
    if (t.defined()) t.storage()->mark_written("lion_step");
}

}  // namespace retort
