#include "tensor/tensor.h"

#include "tensor/write.h"

namespace retort {

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device, const Strides* strides) {
  Ref<TensorImpl> impl(new TensorImpl);
  for (std::int64_t extent : shape)
    if (extent < 0) throw ShapeError("tensor: negative extent in shape {}", shape.str());
  impl->layout.shape = shape;
  impl->layout.strides = strides ? *strides : contiguous_strides(shape);
  impl->dtype = dtype;
  impl->device = device;
  impl->storage = Storage::allocate(shape.product() * size_of(dtype), device);
  return Tensor(std::move(impl));
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  fill_(t, value);
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) { return full(shape, 0.0, dtype, device); }

Tensor Tensor::scalar(double value, DType dtype, Device device) { return full({}, value, dtype, device); }

Tensor Tensor::from(std::span<const double> values, const Shape& shape, DType dtype) {
  if (static_cast<std::int64_t>(values.size()) != shape.product())
    throw ShapeError("tensor: {} values do not fill shape {}", values.size(), shape.str());
  Tensor t = empty(shape, dtype);
  visit_any(dtype, [&]<class E>(E) {
    E* p = t.mutable_data<E>();
    for (std::size_t i = 0; i < values.size(); ++i) p[i] = static_cast<E>(static_cast<compute_t<E>>(values[i]));
  });
  return t;
}

std::byte* Tensor::raw() const {
  if (!impl_) throw InternalError("tensor: an undefined tensor has no data");
  if (!impl_->storage) throw InternalError("tensor: {} is a ghost: its values were not saved", str());
  if (impl_->device.kind != DeviceKind::cpu)
    throw DeviceError("tensor: {} has no values in host memory{}", str(),
                      meta() ? "" : "; hint: copy it first, to(t, kCpu) of tensor/transfer.h");
  return impl_->storage->data() + impl_->layout.offset * size_of(impl_->dtype);
}

std::byte* Tensor::host_pointer(DType want) const {
  std::byte* p = raw();
  if (want != impl_->dtype) throw DTypeError("tensor: {} was read as {}; hint: cast first", str(), name_of(want));
  return p;
}

double Tensor::item_as_double() const {
  if (numel() != 1) throw ShapeError("item: expected one element; got {}", str());
  return values<double>()[0];
}

Tensor Tensor::view(const Layout& layout) const {
  Ref<TensorImpl> impl(new TensorImpl);
  impl->storage = impl_->storage;
  impl->layout = layout;
  impl->dtype = impl_->dtype;
  impl->device = impl_->device;
  return Tensor(std::move(impl));
}

Tensor Tensor::ghost() const {
  Tensor t = view(impl_->layout);
  t.impl_->storage = {};
  return t;
}

Tensor Tensor::unlifted() const { return lift() ? view(impl_->layout) : *this; }

std::string Tensor::str() const {
  if (!impl_) return "undefined";
  return fmt::format("{}{} on {}", name_of(dtype()), shape().str(), device().str());
}

}  // namespace retort
