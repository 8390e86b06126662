// nn/layers/activation.h -- activations by name.
#pragma once
#include <optional>
#include <string_view>

#include "tensor/tensor.h"

namespace retort {

/// quick_gelu is x sigmoid(1.702 x) (Hendrycks and Gimpel 2016), as in CLIP.
enum class Activation : std::uint8_t { none, relu, relu6, gelu, gelu_tanh, quick_gelu, silu, tanh };

/// "relu" -> Activation::relu, and back; throws ConfigError naming the known ones.
Activation activation_from_name(std::string_view name);
std::string_view name_of(Activation activation);
/// Applies it element by element; `none` gives x itself.
Tensor activate(Activation activation, const Tensor& x);
/// The interval that a rectifier limits values to (everything for none); nothing for the curved ones.
struct Interval {
  double low, high;
};
std::optional<Interval> interval_of(Activation activation);
/// The factor that keeps the variance of a He-initialised layer under the activation: sqrt(2) for the rectifiers, 1
/// for none and tanh.
double gain_of(Activation activation);

}  // namespace retort
