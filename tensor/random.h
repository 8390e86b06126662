// tensor/random.h -- random tensors as pure functions of a key (tensor/rng.h).
#pragma once
#include "tensor/rng.h"
#include "tensor/tensor.h"

namespace retort {

/// Without `samples` the whole tensor is sample 0 of the key's field, elements counted in row-major order. With
/// `samples` (i64 [n], the global sample index of each row; n = shape[0]) row i is drawn for sample samples[i],
/// elements counted within the row: a row's numbers depend neither on the batch nor on its place in it. 16-bit floats
/// are f32 draws rounded, f64 are f32 draws widened. On the meta device only the shape is made. Throws DTypeError
/// unless `dtype` is a float type, ShapeError when `samples` does not fit, ValueError for a sample index outside [0,
/// 2^32).
Tensor normal(const Shape& shape, const RngKey& key, DType dtype = DType::f32, Device device = kCpu,
              const Tensor* samples = nullptr);
/// Sample indices where draws on `device` read them: themselves, or a copy. Indices are keys and live on the host;
/// kernels of other devices do not check them, so this does: ValueError outside of [0, 2^32).
Tensor sample_indices_on(const Tensor& samples, Device device);
/// Uniform in [0, 1); the largest f16 or bf16 draws may round to 1.
Tensor uniform(const Shape& shape, const RngKey& key, DType dtype = DType::f32, Device device = kCpu,
               const Tensor* samples = nullptr);
/// True with the given probability: where the element's uniform draw is below it. bool.
Tensor bernoulli(const Shape& shape, double probability, const RngKey& key, Device device = kCpu,
                 const Tensor* samples = nullptr);

}  // namespace retort
