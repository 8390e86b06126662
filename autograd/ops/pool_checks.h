// autograd/ops/pool_checks.h -- what max_pool2d and avg_pool2d check alike.
#pragma once
#include <limits>

#include "autograd/ops/pool.h"
#include "autograd/ops/shape.h"
#include "autograd/rule.h"

namespace retort {

/// The options spelled out for image x. Throws ShapeError, ValueError naming `op`.
inline Pool2dAttrs pool2d_attrs(std::string_view op, const Tensor& x, const PoolOptions& o) {
  const std::int64_t stride = o.stride == 0 ? o.kernel : o.stride;
  if (o.kernel < 1 || stride < 1 || o.padding < 0 || 2 * o.padding > o.kernel)
    throw ValueError("{}: kernel and stride must be positive and padding in [0, kernel / 2]; got {}, {}, {}", op,
                     o.kernel, o.stride, o.padding);
  if (x.rank() != 4) throw ShapeError("{}: the image must have 4 axes; got {}", op, x.str());
  return {o.kernel, o.kernel, stride, stride, o.padding, o.padding, o.count_include_pad, x.size(2), x.size(3)};
}

/// The attributes of a pooling of image x into out_h x out_w windows. Throws ShapeError, ValueError naming `op`.
inline Pool2dAttrs adaptive_attrs(std::string_view op, const Tensor& x, std::int64_t out_h, std::int64_t out_w) {
  if (out_h < 1 || out_w < 1)
    throw ValueError("{}: the result's extents must be positive; got {} and {}", op, out_h, out_w);
  if (x.rank() != 4) throw ShapeError("{}: the image must have 4 axes; got {}", op, x.str());
  Pool2dAttrs a;
  a.count_include_pad = false;
  a.size_h = x.size(2);
  a.size_w = x.size(3);
  a.adaptive_h = out_h;
  a.adaptive_w = out_w;
  return a;
}

/// A signal [n, c, l] pooled as an image of one row: `pool` is called with the image and the attributes for it.
template <class F>
Tensor pooled_signal(std::string_view op, const Tensor& x, const PoolOptions& options, F&& pool) {
  if (x.rank() != 3) throw ShapeError("{}: the signal must have 3 axes; got {}", op, x.str());
  const Tensor image = unsqueeze(x, 2);
  Pool2dAttrs a = pool2d_attrs(op, image, options);
  a.kernel_h = a.stride_h = 1;
  a.pad_h = 0;
  return squeeze(pool(image, a), 2);
}

/// Shape of the pooled image. Throws ShapeError, DTypeError naming the op.
inline Shape pooled_shape(const InferCall& call) {
  infer::require_float(call, 0);
  const auto& a = call.attrs.as<Pool2dAttrs>();
  const Shape& x = call.in[0].shape();
  const std::int64_t h = a.size_h + 2 * a.pad_h - a.kernel_h, w = a.size_w + 2 * a.pad_w - a.kernel_w;
  if (a.size_h < 1 || a.size_w < 1 || h < 0 || w < 0)
    throw ShapeError("{}: the {}x{} window does not fit the padded image; got {}", call.name, a.kernel_h, a.kernel_w,
                     call.in[0].str());
  if (a.size_h > std::numeric_limits<std::int32_t>::max() / a.size_w)
    throw ShapeError("{}: positions within an image exceed 32 bits; got {}", call.name, call.in[0].str());
  if (a.adaptive_h > 0) return {x[0], x[1], a.adaptive_h, a.adaptive_w};
  return {x[0], x[1], h / a.stride_h + 1, w / a.stride_w + 1};
}

}  // namespace retort
