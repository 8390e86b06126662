// autograd/checkpoint.h -- trade time for memory: a region whose intermediate values are recomputed in the backward
// walk.
#pragma once
#include <functional>

#include "autograd/op.h"

namespace retort {

using CheckpointFunction = std::function<Tensors(std::span<const Tensor>)>;

/// f(inputs), recorded as one op that saves its inputs only; the backward walk calls f again (Chen et al. 2016).
/// f gives `outputs` tensors, any of which may be undefined. Gradients of every order and forward mode work as for f
/// itself. f must be deterministic, must not outlive what it refers to, and must take every tracked tensor it uses from
/// `inputs`: AutogradError when a result depends on another one, ValueError when f gives another number of results.
Tensors checkpoint(CheckpointFunction f, std::span<const Tensor> inputs, std::size_t outputs = 1);

}  // namespace retort
