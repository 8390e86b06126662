// tensor/cpu/matmul.cpp -- CPU kernels of matmul and linear over the products of tensor/cpu/gemm.h.
#include "tensor/attrs.h"
#include "tensor/cpu/gemm.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
template <class T>
cpu::MatrixView<T> matrix(const Tensor& t, bool transposed) {
  const int r = t.rank();
  const std::int64_t row = t.strides()[r - 2], col = t.strides()[r - 1];
  return {t.data<T>(), transposed ? col : row, transposed ? row : col};
}

/// Batch axes of the output that have more than one index, with the step of each operand (0 where it broadcasts).
int batch_axes(const Tensor& a, const Tensor& b, const Tensor& c, std::array<cpu::BatchAxis, kMaxRank>& axes) {
  int n = 0;
  for (int i = 0; i < c.rank() - 2; ++i) {
    if (c.shape()[i] == 1) continue;
    const auto step = [&](const Tensor& t) {
      const int axis = i - (c.rank() - t.rank());
      return axis < 0 || t.shape()[axis] == 1 ? 0 : t.strides()[axis];
    };
    axes[static_cast<std::size_t>(n++)] = {c.shape()[i], step(a), step(b), c.strides()[i]};
  }
  return n;
}
}  // namespace

RETORT_CPU_KERNEL(matmul) {
  const Tensor &a = call.in[0], &b = call.in[1], &c = call.out[0];
  if (c.numel() == 0) return;
  const auto& t = call.attrs.as<MatmulAttrs>();
  const std::int64_t m = c.shape()[c.rank() - 2], n = c.shape().back();
  const std::int64_t k = a.shape()[a.rank() - (t.transpose_a ? 2 : 1)];
  std::array<cpu::BatchAxis, kMaxRank> axes;
  const auto count = static_cast<std::size_t>(batch_axes(a, b, c, axes));
  visit_float(a.dtype(), [&]<class T>(T) {
    cpu::gemm_batched<T, T>(std::span(axes.data(), count), m, n, k, 1.0, matrix<T>(a, t.transpose_a),
                            matrix<T>(b, t.transpose_b), 0.0, c.mutable_data<T>(), c.strides()[c.rank() - 2]);
  });
}

RETORT_CPU_KERNEL(linear) {
  const Tensor &x = call.in[0], &w = call.in[1], &bias = call.in[2], &y = call.out[0];
  const std::int64_t rows = y.shape()[0], out = y.shape()[1];
  visit_float(x.dtype(), [&]<class T>(T) {
    T* py = y.mutable_data<T>();
    if (bias.defined()) {
      const T* pb = bias.data<T>();
      const std::int64_t step = bias.strides()[0];
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t j = 0; j < out; ++j) py[r * out + j] = pb[j * step];
    }
    cpu::gemm<T, T>(rows, out, x.shape()[1], 1.0, matrix<T>(x, false), matrix<T>(w, true), bias.defined() ? 1.0 : 0.0,
                    py, out);
  });
}

}  // namespace retort
