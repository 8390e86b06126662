// tensor/gpu/optim.cpp -- optimiser and averaging steps on GPUs: f32 masters, a launch for each tensor.
#include <cmath>
#include <vector>

#include "cuda_kernels/optimizer.h"
#include "tensor/gpu/kernel.h"
#include "tensor/optim_attrs.h"

namespace retort {

namespace {
using on_gpu::Call;

/// One update: the kernel writes the master, its states and a bf16 shadow; any other shadow is copied from the master.
class Step {
 public:
  Step(const Call& call, const Tensor& first, const Tensor& second, const Tensor& shadow,
       std::span<const float> numbers)
      : call_(call), master_(call.out[0]), shadow_(shadow), numbers_(on_gpu::uploaded(call, numbers)) {
    if (master_.dtype() != DType::f32 || !master_.layout().dense())
      throw DTypeError("{}: no kernel for this master on GPUs; got {}; hint: dense f32", call.op, master_.str());
    gradient_ = call.in[0];
    if (gradient_.dtype() != DType::f32 || !(gradient_.strides() == master_.strides())) {
      gradient_ = Tensor::empty(master_.shape(), DType::f32, master_.device(), &master_.strides());
      on_gpu::copy(call, call.in[0], gradient_);
    }
    list_.count = 1;
    list_.master[0] = on_gpu::address_of<float>(master_);
    list_.gradient[0] = on_gpu::address_of<float>(gradient_);
    list_.first[0] = state(first);
    list_.second[0] = state(second);
    list_.shadow[0] = by_kernel() ? on_gpu::address(shadow_) : nullptr;
    list_.size[0] = master_.numel();
  }
  const kernels::TensorList& list() const { return list_; }
  const float* numbers() const { return on_gpu::address_of<float>(numbers_); }
  void finish() const {
    if (shadow_.defined() && !by_kernel()) on_gpu::copy(call_, master_, shadow_);
  }

 private:
  bool by_kernel() const {
    return shadow_.defined() && shadow_.dtype() == DType::bf16 && shadow_.strides() == master_.strides();
  }
  float* state(const Tensor& t) const {
    if (!t.defined()) return nullptr;
    if (t.dtype() != DType::f32 || !(t.strides() == master_.strides()))
      throw DTypeError("{}: states lie as their master does; got {} beside {}", call_.op, t.str(), master_.str());
    return on_gpu::address_of<float>(t);
  }

  const Call& call_;
  Tensor master_, shadow_, numbers_, gradient_;
  kernels::TensorList list_{};
};

const Tensor kAbsent;

std::vector<float> floats(std::initializer_list<double> numbers) { return {numbers.begin(), numbers.end()}; }
}  // namespace

/// in: gradient. out: master, momentum (absent when its factor is 0), shadow (may be absent).
RETORT_GPU_KERNEL(sgd_step) {
  const auto& a = call.attrs.as<SgdAttrs>();
  const Step step(call, call.out[1], kAbsent, call.out[2], floats({a.lr, a.momentum, a.weight_decay}));
  kernels::sgd({step.list(), step.numbers(), a.nesterov}, call.stream);
  step.finish();
}

/// in: gradient. out: master, first moment, second moment, shadow (may be absent).
RETORT_GPU_KERNEL(adamw_step) {
  const auto& a = call.attrs.as<AdamAttrs>();
  const Step step(
      call, call.out[1], call.out[2], call.out[3],
      floats({a.beta1, 1 - a.beta1, a.beta2, 1 - a.beta2, a.eps, a.lr / a.correction1, 1 / std::sqrt(a.correction2),
              a.decoupled ? 1 - a.lr * a.weight_decay : 1, a.decoupled ? 0 : a.weight_decay}));
  kernels::adamw({step.list(), step.numbers()}, call.stream);
  step.finish();
}

/// in: gradient. out: master, momentum, shadow (may be absent).
RETORT_GPU_KERNEL(lion_step) {
  const auto& a = call.attrs.as<LionAttrs>();
  const Step step(call, call.out[1], kAbsent, call.out[2],
                  floats({a.beta1, 1 - a.beta1, a.beta2, 1 - a.beta2, a.lr, 1 - a.lr * a.weight_decay}));
  kernels::lion({step.list(), step.numbers()}, call.stream);
  step.finish();
}

/// in: the followed value. out: average, shadow (may be absent).
RETORT_GPU_KERNEL(ema_step) {
  const double decay = call.attrs.as<EmaAttrs>().decay;
  const Step step(call, kAbsent, kAbsent, call.out[1], floats({decay, 1 - decay}));
  kernels::ema({step.list(), step.numbers()}, call.stream);
  step.finish();
}

}  // namespace retort
