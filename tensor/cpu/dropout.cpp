// tensor/cpu/dropout.cpp -- CPU kernel of dropout: masks are drawn where they are used and never stored.
#include <array>

#include "tensor/attrs.h"
#include "tensor/cpu/rows.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
constexpr std::int64_t kChunk = 1024;

/// out = x / (1 - p) where the draw of elements [first, first + n) of `sample` is kept, else 0.
template <class T>
void drop_run(const T* x, std::int64_t x_step, T* out, std::int64_t out_step, std::int64_t n, const DropoutAttrs& attrs,
              std::int64_t sample, std::int64_t first) {
  using C = compute_t<T>;
  const C scale = static_cast<C>(1 / (1 - attrs.p));
  std::array<std::uint8_t, kChunk> dropped;
  for (std::int64_t at = 0; at < n; at += kChunk) {
    const std::int64_t count = std::min(kChunk, n - at);
    fill_bernoulli(std::span(dropped.data(), static_cast<std::size_t>(count)), attrs.p, attrs.key,
                   static_cast<std::uint64_t>(sample), static_cast<std::uint64_t>(first + at));
    for (std::int64_t i = 0; i < count; ++i) {
      const C v = static_cast<C>(x[(at + i) * x_step]) * scale;
      out[(at + i) * out_step] = static_cast<T>(dropped[static_cast<std::size_t>(i)] ? C(0) : v);
    }
  }
}

/// Element numbers (row-major within a sample), and which sample, of x's elements, as layouts over x's shape.
Layout element_numbers(const Shape& shape) {
  Layout numbers{shape, contiguous_strides(shape), 0};
  numbers.strides[0] = 0;
  return numbers;
}
Layout sample_numbers(const Shape& shape) {
  Layout numbers{shape, Dims::filled(shape.rank(), 0), 0};
  numbers.strides[0] = 1;
  return numbers;
}
}  // namespace

RETORT_CPU_KERNEL(dropout) {
  const Tensor &x = call.in[0], &samples = call.in[1], &out = call.out[0];
  if (out.numel() == 0) return;
  const auto& attrs = call.attrs.as<DropoutAttrs>();
  const auto sample_of = [&](std::int64_t row) {
    return samples.defined() ? samples.data<std::int64_t>()[row * samples.strides()[0]] : row;
  };
  visit_float(x.dtype(), [&]<class T>(T) {
    const T* px = x.data<T>();
    T* po = out.mutable_data<T>();
    if (x.layout().contiguous() && out.layout().contiguous()) {
      const std::int64_t size = x.numel() / x.shape()[0], block = 16 * kChunk, blocks = (size + block - 1) / block;
      cpu::parallel_for(x.shape()[0] * blocks, 1, [&](std::int64_t job, std::int64_t) {
        const std::int64_t row = job / blocks, first = job % blocks * block, at = row * size + first;
        drop_run(px + at, 1, po + at, 1, std::min(block, size - first), attrs, sample_of(row), first);
      });
      return;
    }
    const int axis = x.rank() - 1;
    if (axis == 0) {  // one element per sample
      for (std::int64_t i = 0; i < x.numel(); ++i)
        drop_run(px + i * x.strides()[0], 1, po + i * out.strides()[0], 1, 1, attrs, sample_of(i), 0);
      return;
    }
    const cpu::RowNest<4> nest({cpu::row_starts(out.layout(), axis), cpu::row_starts(x.layout(), axis),
                                cpu::row_starts(element_numbers(x.shape()), axis),
                                cpu::row_starts(sample_numbers(x.shape()), axis)});
    const std::int64_t n = x.shape()[axis];
    cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
      nest.walk(begin, end, [&](const auto& at) {
        drop_run(px + at[1], x.strides()[axis], po + at[0], out.strides()[axis], n, attrs, sample_of(at[3]), at[2]);
      });
    });
  });
}

}  // namespace retort
