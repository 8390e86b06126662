// autograd/ops/arange.cpp -- evenly spaced values, and the identities and masks that comparisons make of them.
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/create.h"
#include "autograd/ops/shape.h"
#include "tensor/attrs.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
const Primitive kArange("arange");

/// column - row as a [rows, columns] comparison with a whole number.
struct Grid {
  Tensor row, column;
};
Grid grid(std::int64_t rows, std::int64_t columns, std::int64_t shift, Device device) {
  return {unsqueeze(arange(rows, DType::i64, device, static_cast<double>(shift)), 1),
          arange(columns, DType::i64, device)};
}
}  // namespace

Tensor arange(std::int64_t n, DType dtype, Device device, double begin, double step) {
  const Tensor t = Tensor::empty({n}, dtype, device);
  run_kernel(kArange, {}, AttrBox::of(ArangeAttrs{begin, step}), std::span(&t, 1));
  return t;
}

Tensor eye(std::int64_t n, DType dtype, Device device) {
  const Grid g = grid(n, n, 0, device);
  return cast(equal(g.column, g.row), dtype);
}

Tensor tril_mask(std::int64_t rows, std::int64_t columns, std::int64_t diagonal, Device device) {
  const Grid g = grid(rows, columns, diagonal, device);
  return less_equal(g.column, g.row);
}

Tensor triu_mask(std::int64_t rows, std::int64_t columns, std::int64_t diagonal, Device device) {
  const Grid g = grid(rows, columns, diagonal, device);
  return less_equal(g.row, g.column);
}

}  // namespace retort
