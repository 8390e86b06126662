// autograd/ops/create.h -- constant tensors made from rules: ranges, identities, masks, one-hot rows.
#pragma once
#include "tensor/tensor.h"

namespace retort {

/// begin, begin + step, ... : n values, [n].
Tensor arange(std::int64_t n, DType dtype = DType::i64, Device device = kCpu, double begin = 0, double step = 1);
/// The identity matrix, [n, n].
Tensor eye(std::int64_t n, DType dtype = DType::f32, Device device = kCpu);
/// bool [rows, columns], true where column - row <= diagonal (tril) or >= diagonal (triu): tril_mask(n, n) is the
/// causal mask of n positions.
Tensor tril_mask(std::int64_t rows, std::int64_t columns, std::int64_t diagonal = 0, Device device = kCpu);
Tensor triu_mask(std::int64_t rows, std::int64_t columns, std::int64_t diagonal = 0, Device device = kCpu);
/// ids i64 [s...] -> [s..., classes], 1 at the id and 0 elsewhere. An id outside [0, classes) throws ValueError.
Tensor one_hot(const Tensor& ids, std::int64_t classes, DType dtype = DType::f32);

}  // namespace retort
