#include "nn/optim/split_momentum.h"

#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kSgdStep("sgd_step");

void sgd_step(Parameter& p, const Tensor& grad, const Tensor& velocity, const SgdAttrs& attrs) {
  const Tensor in = grad.unlifted(), out[] = {p.value, velocity, p.shadow};
  run_kernel(kSgdStep, std::span(&in, 1), AttrBox::of(attrs), out);
  for (const Tensor& t : out)
    if (t.defined()) t.storage()->mark_written("split_momentum");
}
}  // namespace

SplitMomentum::SplitMomentum(const SplitMomentumOptions& o) : options_(o) {
  if (!(o.delta >= 0) || !(o.delta <= o.momentum) || !(o.momentum + o.delta < 1))
    throw ValueError("split_momentum: expected 0 <= delta <= momentum and momentum + delta < 1; got {} and {}", o.delta,
                     o.momentum);
  if (!(o.weight_decay >= 0)) throw ValueError("split_momentum: weight decay is not negative; got {}", o.weight_decay);
}

void SplitMomentum::step(std::span<const NamedParameter> parameters, std::span<const Tensor> task,
                         std::span<const Tensor> distil, double lr) {
  begin_step(parameters, task);
  check(parameters, distil);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Parameter& p = *parameters[i].parameter;
    if (!p.trainable) continue;
    const Tensor &velocity_task = state_of(i)[0], &velocity_distil = state_of(i)[1];
    const double decay = p.decays ? options_.weight_decay : 0;
    const bool both = task[i].defined() && distil[i].defined();
    const double delta = both ? options_.delta : 0;
    // The task's step comes first: its decay reads the weights from before the update.
    if (task[i].defined()) sgd_step(p, task[i], velocity_task, {lr, options_.momentum - delta, decay, false});
    if (distil[i].defined())
      sgd_step(p, distil[i], velocity_distil, {lr, options_.momentum + delta, both ? 0 : decay, false});
  }
}

void SplitMomentum::update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t) {
  sgd_step(p, grad, state[0], {lr, options_.momentum, p.decays ? options_.weight_decay : 0, false});
}

}  // namespace retort
