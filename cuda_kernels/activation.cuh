// cuda_kernels/activation.cuh -- the activations that kernels apply last, and their slopes.
#pragma once
#include "cuda_kernels/device.cuh"
#include "tensor/elementwise.h"

namespace retort::kernels::RETORT_BACKEND {

RETORT_DEVICE float activate(Activation a, float x) {
  switch (a) {
    case Activation::relu:
      return elementwise::Relu{}(x);
    case Activation::gelu:
      return elementwise::Gelu{}(x);
    case Activation::gelu_tanh:
      return elementwise::GeluTanh{}(x);
    case Activation::silu:
      return elementwise::Silu{}(x);
    default:
      return x;
  }
}
/// Cotangent g times the slope at the activation's input x.
RETORT_DEVICE float activate_backward(Activation a, float g, float x) {
  switch (a) {
    case Activation::relu:
      return elementwise::ReluBackward{}(g, x);
    case Activation::gelu:
      return elementwise::GeluBackward{}(g, x);
    case Activation::gelu_tanh:
      return elementwise::GeluTanhBackward{}(g, x);
    case Activation::silu:
      return elementwise::SiluBackward{}(g, x);
    default:
      return g;
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
