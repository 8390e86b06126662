#include "nn/grad_accumulator.h"

#include "tensor/write.h"

namespace retort {

GradAccumulator::GradAccumulator(std::vector<NamedParameter> parameters) : parameters_(std::move(parameters)) {
  for (const auto& [name, p] : parameters_) {
    index_.emplace(p, sums_.size());
    const Tensor& v = p->value;
    sums_.push_back(Tensor::empty(v.shape(), v.dtype(), v.device(), v.layout().dense() ? &v.strides() : nullptr));
  }
  zero();
}

void GradAccumulator::add(int leaf, const Tensor& contribution) {
  if (!leaves_) throw AutogradError("grad_accumulator: a gradient came before attach named the leaves");
  const auto found = index_.find(leaves_->parameter(leaf));
  if (found == index_.end()) return;
  const std::size_t i = found->second;
  if (holds_[i] == Holds::old)
    assign_(sums_[i], contribution, "grad_accumulator");
  else
    accumulate_(sums_[i], contribution);
  holds_[i] = Holds::sum;
}

void GradAccumulator::done(int leaf) {
  if (!final_ || !leaves_) return;
  if (const auto found = index_.find(leaves_->parameter(leaf)); found != index_.end()) final_(found->second);
}

void GradAccumulator::zero() { holds_.assign(sums_.size(), Holds::old); }

void GradAccumulator::scale(double factor) {
  for (std::size_t i = 0; i < sums_.size(); ++i)
    if (holds_[i] == Holds::sum) scale_(sums_[i], factor);
}

const std::vector<Tensor>& GradAccumulator::grads() {
  for (std::size_t i = 0; i < sums_.size(); ++i)
    if (holds_[i] == Holds::old) {
      fill_(sums_[i], 0);
      holds_[i] = Holds::zeros;
    }
  return sums_;
}

const Tensor& GradAccumulator::shared_grad(std::size_t i) {
  if (holds_[i] == Holds::old) fill_(sums_[i], 0);
  holds_[i] = Holds::sum;
  return sums_[i];
}

std::vector<Tensor> GradAccumulator::reached() const {
  std::vector<Tensor> list(sums_.size());
  for (std::size_t i = 0; i < sums_.size(); ++i)
    if (holds_[i] == Holds::sum) list[i] = sums_[i];
  return list;
}

}  // namespace retort
