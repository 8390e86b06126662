// tests/cuda_kernels/on_tensors.h -- tensors to the emulated device and back, to compare kernels with the CPU's ops.
#pragma once
#include <functional>
#include <vector>

#include "cuda_kernels/types.h"
#include "tensor/tensor.h"
#include "tests/cuda_kernels/on_device.h"

namespace retort::kernel_test {

kernels::Type type_of(DType t);

/// Device memory with the values of a contiguous tensor; for an undefined one nullptr.
std::byte* upload_tensor(gpu::Stream stream, const Tensor& x);
template <class T>
T* upload_as(gpu::Stream stream, const Tensor& x) {
  return reinterpret_cast<T*>(upload_tensor(stream, x));
}
/// Memory that was never written, for a tensor of this shape.
std::byte* room_like(gpu::Stream stream, const Shape& shape, DType dtype);
Tensor download_tensor(gpu::Stream stream, const void* p, const Shape& shape, DType dtype);

/// Random values of a fixed seed, rounded to `dtype`; `spread` is their standard deviation. Contiguous.
Tensor sample(const Shape& shape, DType dtype, std::uint32_t which, double spread = 1);
/// Whole numbers in [-4, 4], exact in every float type.
Tensor whole_numbers(const Shape& shape, DType dtype, std::uint32_t which);

/// All values alike: the same numbers, NaN where NaN is.
bool same_values(const Tensor& a, const Tensor& b);
/// ||a - b|| / ||b||, over all elements.
double distance(const Tensor& a, const Tensor& b);
/// What kernels may differ by from the CPU's: the order of sums in f32, and one rounding more to bf16.
inline double tolerance(DType t) { return t == DType::f32 ? 2e-6 : 4e-3; }

/// Gradients of sum(cotangent f(inputs)) in the inputs.
std::vector<Tensor> gradients_of(const std::function<Tensor(const std::vector<Tensor>&)>& f, std::vector<Tensor> inputs,
                                 const Tensor& cotangent);

inline const DType kTrainingTypes[] = {DType::f32, DType::bf16};

}  // namespace retort::kernel_test
