#include "nn/optim/optimizer.h"

#include "tensor/write.h"

namespace retort {

void Optimizer::prepare(std::span<const NamedParameter> parameters) {
  const std::size_t slot_count = slots().size();
  entries_.clear();
  for (const auto& [name, p] : parameters) {
    const Tensor& master = p->value;
    if (master.dtype() != DType::f32 && master.dtype() != DType::f64)
      throw DTypeError("optimizer: masters are f32 or f64; got {} for {}", master.str(), name);
    Entry entry{name, {}};
    for (std::size_t i = 0; i < slot_count; ++i) {
      entry.state.push_back(Tensor::empty(master.shape(), master.dtype(), master.device(), &master.strides()));
      fill_(entry.state.back(), 0);
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
    if (!(grads[i].shape() == p->value.shape()) || grads[i].dtype() != p->value.dtype())
      throw ShapeError("optimizer: the gradient of {} does not fit; got {} for {}", name, grads[i].str(),
                       p->value.str());
  }
}

void Optimizer::step(std::span<const NamedParameter> parameters, std::span<const Tensor> grads, double lr) {
  if (!steps_.defined()) prepare(parameters);
  check(parameters, grads);
  const std::int64_t t = steps_.item<std::int64_t>() + 1;
  fill_(steps_, static_cast<double>(t));
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].parameter->trainable)
      update(*parameters[i].parameter, grads[i].unlifted(), entries_[i].state, lr, t);
}

void Optimizer::visit_state(const std::function<void(const std::string&, Tensor&)>& visit) {
  if (!steps_.defined()) throw ValueError("optimizer: there is no state yet; hint: prepare it for its parameters");
  visit("step", steps_);
  const std::vector<std::string> names = slots();
  for (Entry& entry : entries_)
    for (std::size_t i = 0; i < names.size(); ++i) visit(names[i] + "/" + entry.name, entry.state[i]);
}

}  // namespace retort
