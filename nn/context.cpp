#include "nn/context.h"

#include <algorithm>

#include "autograd/ops/arithmetic.h"
#include "tensor/write.h"

namespace retort {

Tensor Leaves::of(const Parameter& p, bool low) {
  Tensor& t = lifted_[&p];
  if (!t.defined()) {
    t = tape_.watch(low && p.shadow.defined() ? p.shadow : p.value);
    by_leaf_.resize(static_cast<std::size_t>(tape_.leaves()), nullptr);
    by_leaf_.back() = &p;
  }
  return t;
}

const Parameter* Leaves::parameter(int leaf) const {
  const auto at = static_cast<std::size_t>(leaf);
  return at < by_leaf_.size() ? by_leaf_[at] : nullptr;
}

Tensor Ctx::operator()(const Parameter& p) {
  if (substitute) {
    const auto it = substitute->find(&p);
    if (it != substitute->end()) return it->second;
  }
  const bool low = size_of(compute) == 2 && !p.master_only;
  if (leaves && p.trainable) return leaves->of(p, low);
  return low && p.shadow.defined() ? p.shadow : p.value;
}

bool Ctx::wants(const Module& at, std::string_view port) const {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const TapId& tap) { return tap.port == port && tap.path == at.path(); });
}

void Ctx::tap(const Module& at, std::string_view port, const Tensor& value) {
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i].port == port && wanted[i].path == at.path()) {
      tapped.resize(wanted.size());
      tapped[i] = value;
    }
}

bool Ctx::finished() const {
  if (!stop_after_taps || tapped.size() < wanted.size()) return false;
  for (const Tensor& t : tapped)
    if (!t.defined()) return false;
  return true;
}

void apply_statistics(std::span<const StatUpdate> updates) {
  for (std::size_t i = 0; i < updates.size(); ++i) {
    Buffer* const buffer = updates[i].buffer;
    const auto same = [buffer](const StatUpdate& u) { return u.buffer == buffer; };
    if (std::any_of(updates.begin(), updates.begin() + static_cast<std::ptrdiff_t>(i), same)) continue;
    Tensor sum = updates[i].value;
    double count = 1;
    for (const StatUpdate& u : updates.subspan(i + 1))
      if (same(u)) {
        sum = sum + u.value;
        ++count;
      }
    const double momentum = updates[i].momentum;
    assign_(buffer->value, buffer->value * (1 - momentum) + sum * (momentum / count), "running statistics");
  }
}

ParamValues with_params(Module& m, const std::vector<std::pair<std::string, Tensor>>& values) {
  ParamValues result;
  const auto parameters = parameters_of(m);
  for (const auto& [name, value] : values) {
    const Parameter* found = nullptr;
    for (const auto& p : parameters)
      if (p.name == name) found = p.parameter;
    if (!found) throw ValueError("with_params: the module has no parameter {}", name);
    if (!(found->value.shape() == value.shape()))
      throw ShapeError("with_params: {} is {}; got {}", name, found->value.str(), value.str());
    result.emplace(found, value);
  }
  return result;
}

}  // namespace retort
