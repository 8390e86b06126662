#include "nn/ema.h"

#include <algorithm>
#include <cmath>

#include "tensor/optim_attrs.h"
#include "tensor/primitive.h"
#include "tensor/write.h"

namespace retort {

namespace {
const Primitive kEmaStep("ema_step");

void follow(const std::string& name, const Tensor& average, const Tensor& shadow, const std::string& source_name,
            const Tensor& source, double decay) {
  if (name != source_name || !(average.shape() == source.shape()) || average.dtype() != source.dtype())
    throw ShapeError("ema: structures differ; got {} {} and {} {}", name, average.str(), source_name, source.str());
  const Tensor out[] = {average, shadow};
  run_kernel(kEmaStep, std::span(&source, 1), AttrBox::of(EmaAttrs{decay}), out);
  for (const Tensor& t : out)
    if (t.defined()) t.storage()->mark_written("ema_step");
}
}  // namespace

double EmaDecay::at(std::int64_t update, std::int64_t samples, std::int64_t seen) const {
  const auto t = static_cast<double>(update);
  if (update <= start) return 0;
  switch (law) {
    case Law::constant:
      if (!(value >= 0 && value <= 1)) throw ValueError("ema: a decay lies in [0, 1]; got {}", value);
      return warmup > 0 ? std::min(value, (1 + t) / (warmup + t)) : value;
    case Law::half_life: {
      if (!(value > 0)) throw ValueError("ema: a half-life is a positive number of samples; got {}", value);
      const double limit = rampup > 0 ? rampup * static_cast<double>(seen) : value;
      return limit > 0 ? std::exp2(-static_cast<double>(samples) / std::min(value, limit)) : 0;
    }
    case Law::power:
      break;
  }
  if (!(value >= 0)) throw ValueError("ema: a power is not negative; got {}", value);
  return std::pow(1 - 1 / t, value + 1);
}

void ema_update(Module& average, const Module& source, double decay, EmaBuffers mode) {
  // visit is non-const because most visitors write; the source is only read.
  Module& from = const_cast<Module&>(source);
  const auto parameters = parameters_of(average), others = parameters_of(from);
  const auto buffers = buffers_of(average), other_buffers = buffers_of(from);
  if (parameters.size() != others.size() || buffers.size() != other_buffers.size())
    throw ShapeError("ema: structures differ; got {} and {} parameters, {} and {} buffers", parameters.size(),
                     others.size(), buffers.size(), other_buffers.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = *parameters[i].parameter;
    follow(parameters[i].name, p.value, p.shadow, others[i].name, others[i].parameter->value, decay);
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const Tensor &to = buffers[i].buffer->value, &value = other_buffers[i].buffer->value;
    if (mode == EmaBuffers::average && (to.dtype() == DType::f32 || to.dtype() == DType::f64))
      follow(buffers[i].name, to, {}, other_buffers[i].name, value, decay);
    else
      assign_(to, value, "ema");
  }
}

}  // namespace retort
