#include "nn/optim/sgd.h"

#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kSgdStep("sgd_step");
}

Sgd::Sgd(const SgdOptions& options) : options_(options) {
  if (!(options.momentum >= 0) || !(options.weight_decay >= 0))
    throw ValueError("sgd: momentum and weight decay are not negative; got {} and {}", options.momentum,
                     options.weight_decay);
  if (options.nesterov && options.momentum == 0) throw ValueError("sgd: Nesterov's look-ahead needs a momentum; got 0");
}

std::vector<std::string> Sgd::slots() const {
  if (options_.momentum == 0) return {};
  return {"momentum"};
}

void Sgd::update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t) {
  const SgdAttrs attrs{lr, options_.momentum, p.decays ? options_.weight_decay : 0, options_.nesterov};
  const Tensor out[] = {p.value, state.empty() ? Tensor() : state[0], p.shadow};
  run_kernel(kSgdStep, std::span(&grad, 1), AttrBox::of(attrs), out);
  for (const Tensor& t : out)
    if (t.defined()) t.storage()->mark_written("sgd_step");
}

}  // namespace retort
