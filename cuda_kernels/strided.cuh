// cuda_kernels/strided.cuh -- where the elements of tensors with steps lie.
#pragma once
#include "cuda_kernels/device.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// The places in two tensors, in elements, of number i in row-major order.
struct Places {
  std::int64_t first, second;
};
RETORT_DEVICE Places places_of(std::int64_t i, const StridedPair& shape) {
  Places at{0, 0};
  for (int axis = shape.rank - 1; axis >= 0; --axis) {
    const std::int64_t k = i % shape.extent[axis];
    i /= shape.extent[axis];
    at.first += k * shape.first[axis];
    at.second += k * shape.second[axis];
  }
  return at;
}

inline std::int64_t elements_of(const StridedPair& shape) {
  std::int64_t n = 1;
  for (int axis = 0; axis < shape.rank; ++axis) n *= shape.extent[axis];
  return n;
}

/// Calls f(TypeTag<T>{}) for every element type, and for the floats among them.
template <class F>
void visit_floating(const char* name, Type type, F&& f) {
  if (type == Type::f64) return f(TypeTag<double>{});
  visit_float(name, type, f);
}
template <class F>
void visit_every(const char* name, Type type, F&& f) {
  switch (type) {
    case Type::i64:
      return f(TypeTag<std::int64_t>{});
    case Type::i32:
      return f(TypeTag<std::int32_t>{});
    case Type::u8:
      return f(TypeTag<std::uint8_t>{});
    case Type::boolean:
      return f(TypeTag<bool>{});
    default:
      return visit_floating(name, type, f);
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
