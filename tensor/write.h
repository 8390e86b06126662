// tensor/write.h -- the few named writers: values are immutable to everyone who does not call one of these.
#pragma once
#include <string_view>

#include "tensor/tensor.h"

namespace retort {

/// dst[...] = value. Any dtype, any strides.
void fill_(const Tensor& dst, double value);
/// dst = src: same shape, any two dtypes (converted), any strides. Throws ShapeError, DeviceError.
/// `writer` names the caller in the error a stale saved tensor raises.
void assign_(const Tensor& dst, const Tensor& src, std::string_view writer = "assign_");
/// dst += src in dst's dtype; same shape, float dtypes of any kind (a bf16 gradient adds to an f32 sum).
void accumulate_(const Tensor& dst, const Tensor& src);
/// dst *= factor in dst's float dtype.
void scale_(const Tensor& dst, double factor);
/// A new row-major (or channels-last, when asked) tensor with the same values.
Tensor copy_of(const Tensor& src, bool channels_last = false);

}  // namespace retort
