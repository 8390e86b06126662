#include "nn/optim/optimizer.h"

#include "tensor/write.h"

namespace retort {

std::vector<Optimizer::Slot> Optimizer::initial_state(const Parameter& p) const {
  std::vector<Slot> state;
  for (const std::string& name : slots()) {
    const Tensor& master = p.value;
    state.push_back({name, Tensor::empty(master.shape(), master.dtype(), master.device(), &master.strides())});
    fill_(state.back().value, 0);
  }
  return state;
}

void Optimizer::prepare(std::span<const NamedParameter> parameters) {
  entries_.clear();
  for (const auto& [name, p] : parameters) {
    const Tensor& master = p->value;
    if (master.dtype() != DType::f32 && master.dtype() != DType::f64)
      throw DTypeError("optimizer: masters are f32 or f64; got {} for {}", master.str(), name);
    Entry entry{name, {}, {}};
    for (Slot& slot : initial_state(*p)) {
      entry.slots.push_back(std::move(slot.name));
      entry.state.push_back(std::move(slot.value));
    }
    entries_.push_back(std::move(entry));
  }
  steps_ = Tensor::zeros({}, DType::i64);
}

void Optimizer::check(std::span<const NamedParameter> parameters, std::span<const Tensor> grads) const {
  if (parameters.size() != grads.size() || parameters.size() != entries_.size())
    throw ShapeError("optimizer: {} parameters and {} gradients for the state of {}", parameters.size(), grads.size(),
                     entries_.size());
  for (std::size_t i = 0; i < grads.size(); ++i) {
    const auto& [name, p] = parameters[i];
    if (name != entries_[i].name)
      throw ShapeError("optimizer: parameter {} is {} where the state is of {}", i, name, entries_[i].name);
    if (grads[i].defined() && (!(grads[i].shape() == p->value.shape()) || grads[i].dtype() != p->value.dtype()))
      throw ShapeError("optimizer: the gradient of {} does not fit; got {} for {}", name, grads[i].str(),
                       p->value.str());
  }
}

std::int64_t Optimizer::begin_step(std::span<const NamedParameter> parameters, std::span<const Tensor> grads) {
  if (!steps_.defined()) prepare(parameters);
  check(parameters, grads);
  const std::int64_t t = steps_.item<std::int64_t>() + 1;
  fill_(steps_, static_cast<double>(t));
  return t;
}

void Optimizer::step(std::span<const NamedParameter> parameters, std::span<const Tensor> grads, double lr) {
  const std::int64_t t = begin_step(parameters, grads);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].parameter->trainable && grads[i].defined())
      update(*parameters[i].parameter, grads[i].unlifted(), entries_[i].state, lr, t);
}

void Optimizer::visit_state(const std::function<void(const std::string&, Tensor&)>& visit) {
  if (!steps_.defined()) throw ValueError("optimizer: there is no state yet; hint: prepare it for its parameters");
  visit("step", steps_);
  for (Entry& entry : entries_)
    for (std::size_t i = 0; i < entry.slots.size(); ++i) visit(entry.slots[i] + "/" + entry.name, entry.state[i]);
}

}  // namespace retort
