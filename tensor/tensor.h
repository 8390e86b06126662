// tensor/tensor.h -- the tensor handle: a layout over a storage, plus the autograd level it was lifted to, if any.
#pragma once
#include <span>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/error.h"
#include "tensor/shape.h"
#include "tensor/storage.h"

namespace retort {

class Tensor;

/// What an autograd level attaches to a tensor (autograd/level.h). The tensor room only carries it.
struct Lift : RefCounted<Lift> {
  virtual ~Lift() = default;
};

struct TensorImpl : RefCounted<TensorImpl> {
  Ref<Storage> storage;  ///< null for a ghost: shape, dtype and device without values
  Ref<Lift> lift;
  Layout layout;
  DType dtype = DType::f32;
  Device device;
};

/// A small handle to an immutable value; copies and views share storage. Writers are few and named (tensor/write.h).
/// A default-constructed tensor is undefined: "absent".
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Ref<TensorImpl> impl) : impl_(std::move(impl)) {}

  /// Uninitialised values. `strides` must be a dense arrangement of `shape`; row-major when empty.
  static Tensor empty(const Shape& shape, DType dtype, Device device = kCpu, const Strides* strides = nullptr);
  static Tensor full(const Shape& shape, double value, DType dtype = DType::f32, Device device = kCpu);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32, Device device = kCpu);
  /// A 0-d tensor.
  static Tensor scalar(double value, DType dtype = DType::f32, Device device = kCpu);
  /// Row-major values, converted to `dtype`. Throws ShapeError when the counts differ.
  static Tensor from(std::span<const double> values, const Shape& shape, DType dtype = DType::f32);
  template <class T>
  static Tensor of(std::span<const T> values, const Shape& shape);

  bool defined() const { return static_cast<bool>(impl_); }
  const Shape& shape() const { return impl_->layout.shape; }
  const Strides& strides() const { return impl_->layout.strides; }
  const Layout& layout() const { return impl_->layout; }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->device; }
  int rank() const { return shape().rank(); }
  std::int64_t numel() const { return impl_->layout.numel(); }
  /// Extent of an axis; negative axes count from the end.
  std::int64_t size(int axis) const { return shape()[normalize_axis(axis, rank(), "size")]; }
  bool meta() const { return device().kind == DeviceKind::meta; }

  /// First element in host memory. Throws DTypeError for another T, DeviceError off the host. `mutable_data` is for
  /// kernels and the writers of tensor/write.h: everyone else treats values as immutable.
  template <class T>
  const T* data() const {
    return reinterpret_cast<const T*>(host_pointer(dtype_of<T>));
  }
  template <class T>
  T* mutable_data() const {
    return reinterpret_cast<T*>(host_pointer(dtype_of<T>));
  }
  std::byte* raw() const;  ///< first element, any dtype

  /// The only element, as T. Throws ShapeError unless numel() == 1.
  template <class T = double>
  T item() const {
    return static_cast<T>(item_as_double());
  }
  /// All elements in row-major (logical) order, converted.
  template <class T = double>
  std::vector<T> values() const;

  /// The same storage seen through another layout (no checks beyond the storage's bounds).
  Tensor view(const Layout& layout) const;
  /// Shape, dtype and device without values.
  Tensor ghost() const;
  /// The value below every autograd level.
  Tensor unlifted() const;

  const Ref<TensorImpl>& impl() const { return impl_; }
  const Ref<Storage>& storage() const { return impl_->storage; }
  Lift* lift() const { return impl_ ? impl_->lift.get() : nullptr; }
  /// "f32[2, 3] on cpu"
  std::string str() const;

 private:
  std::byte* host_pointer(DType want) const;
  double item_as_double() const;
  Ref<TensorImpl> impl_;
};

/// Calls f(element pointer offset in elements) for every element in row-major order.
template <class F>
void for_each_offset(const Layout& layout, F&& f) {
  const std::int64_t n = layout.numel();
  Dims at = Dims::filled(layout.shape.rank(), 0);
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    f(offset);
    for (int a = layout.shape.rank() - 1; a >= 0; --a) {
      offset += layout.strides[a];
      if (++at[a] < layout.shape[a]) break;
      offset -= layout.strides[a] * layout.shape[a];
      at[a] = 0;
    }
  }
}

template <class T>
std::vector<T> Tensor::values() const {
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(numel()));
  visit_any(dtype(), [&]<class E>(E) {
    const E* p = data<E>();
    for_each_offset(layout(), [&](std::int64_t o) { out.push_back(static_cast<T>(p[o])); });
  });
  return out;
}

template <class T>
Tensor Tensor::of(std::span<const T> values, const Shape& shape) {
  if (static_cast<std::int64_t>(values.size()) != shape.product())
    throw ShapeError("tensor: {} values do not fill shape {}", values.size(), shape.str());
  Tensor t = empty(shape, dtype_of<T>);
  if (!values.empty()) std::memcpy(t.raw(), values.data(), values.size_bytes());
  return t;
}

}  // namespace retort
