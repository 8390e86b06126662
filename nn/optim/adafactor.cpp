#include "nn/optim/adafactor.h"

#include <cmath>

#include "autograd/ops/arithmetic.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "tensor/write.h"

namespace retort {

namespace {
Tensor root_mean_square(const Tensor& x) { return sqrt(mean(square(x))); }

void mix_(const Tensor& state, double keep, const Tensor& value) {
  assign_(state, state * keep + value * (1 - keep), "adafactor");
}
}  // namespace

Adafactor::Adafactor(const AdafactorOptions& o) : options_(o) {
  if (!(o.beta1 >= 0 && o.beta1 < 1)) throw ValueError("adafactor: beta1 lies in [0, 1); got {}", o.beta1);
  if (!(o.decay >= 0) || !(o.eps1 > 0) || !(o.eps2 >= 0) || !(o.threshold > 0) || !(o.weight_decay >= 0))
    throw ValueError(
        "adafactor: decay, eps2 and weight decay are not negative, eps1 and threshold positive; got {}, {}, {}, {} "
        "and {}",
        o.decay, o.eps2, o.weight_decay, o.eps1, o.threshold);
}

std::vector<Optimizer::Slot> Adafactor::initial_state(const Parameter& p) const {
  const Tensor& master = p.value;
  const auto zeros = [&](const Shape& shape) { return Tensor::zeros(shape, master.dtype(), master.device()); };
  std::vector<Slot> state;
  const Shape& shape = master.shape();
  if (shape.rank() < 2) {
    state.push_back({"v", zeros(shape)});
  } else {
    Shape row = Shape::filled(shape.rank(), 1), column = shape;
    row[0] = shape[0];
    column[0] = 1;
    state.push_back({"row", zeros(row)});
    state.push_back({"column", zeros(column)});
  }
  if (options_.beta1 > 0) state.push_back({"m", zeros(shape)});
  return state;
}

void Adafactor::update(Parameter& p, const Tensor& grad, std::span<const Tensor> state, double lr, std::int64_t t) {
  const auto steps = static_cast<double>(t);
  const double keep = 1 - std::pow(steps, -options_.decay);
  const Tensor squares = square(grad) + options_.eps1;
  Tensor second;
  if (grad.rank() < 2) {
    mix_(state[0], keep, squares);
    second = state[0];
  } else {
    mix_(state[0], keep, sum_to(squares, state[0].shape()));
    mix_(state[1], keep, sum_to(squares, state[1].shape()));
    // Divided before they are multiplied: a product of two sums of tiny squares underflows in f32.
    second = state[0] / sum(state[0]) * state[1];
  }
  Tensor step = grad / sqrt(second);
  step = step / maximum(root_mean_square(step) / options_.threshold, 1.0);
  if (options_.beta1 > 0) {
    mix_(state.back(), options_.beta1, step);
    step = state.back();
  }
  if (p.decays && options_.weight_decay > 0) step = step + p.value * options_.weight_decay;
  step = step * (options_.relative ? std::min(lr, 1 / std::sqrt(steps)) : lr);
  if (options_.relative) step = step * maximum(root_mean_square(p.value), options_.eps2);
  assign_(p.value, p.value - step, "adafactor");
  if (p.shadow.defined()) assign_(p.shadow, p.value, "adafactor");
}

}  // namespace retort
