#include "tensor/write.h"

#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kFill("fill"), kCopy("copy"), kAccumulate("accumulate"), kScale("scale");
}

void fill_(const Tensor& dst, double value) {
  run_kernel(kFill, {}, AttrBox::of(value), std::span(&dst, 1));
  dst.storage()->mark_written("fill_");
}

void assign_(const Tensor& dst, const Tensor& src, std::string_view writer) {
  if (!(dst.shape() == src.shape())) throw ShapeError("{}: cannot assign {} to {}", writer, src.str(), dst.str());
  const Tensor in = src.unlifted();
  run_kernel(kCopy, std::span(&in, 1), {}, std::span(&dst, 1));
  dst.storage()->mark_written(writer);
}

void accumulate_(const Tensor& dst, const Tensor& src) {
  if (!(dst.shape() == src.shape())) throw ShapeError("accumulate_: cannot add {} to {}", src.str(), dst.str());
  if (!is_float(dst.dtype()) || !is_float(src.dtype()))
    throw DTypeError("accumulate_: only float tensors are summed; got {} and {}", src.str(), dst.str());
  const Tensor in = src.unlifted();
  run_kernel(kAccumulate, std::span(&in, 1), {}, std::span(&dst, 1));
  dst.storage()->mark_written("accumulate_");
}

void scale_(const Tensor& dst, double factor) {
  if (!is_float(dst.dtype())) throw DTypeError("scale_: only float tensors are scaled; got {}", dst.str());
  run_kernel(kScale, {}, AttrBox::of(factor), std::span(&dst, 1));
  dst.storage()->mark_written("scale_");
}

Tensor copy_of(const Tensor& src, bool channels_last) {
  const Strides strides = channels_last ? channels_last_strides(src.shape()) : contiguous_strides(src.shape());
  Tensor out = Tensor::empty(src.shape(), src.dtype(), src.device(), &strides);
  assign_(out, src, "copy_of");
  return out;
}

}  // namespace retort
