// tensor/cpu/move.cpp -- CPU kernels that place elements: concatenation, embedding, reversal, ranges.
#include <algorithm>

#include "tensor/attrs.h"
#include "tensor/cpu/copy.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

Layout without_offset(const Tensor& t) { return {t.shape(), t.strides(), 0}; }

void fill(const Tensor& to, const Layout& layout, double value) {
  if (layout.numel() == 0) return;
  visit_any(to.dtype(), [&]<class T>(T) {
    const T v = static_cast<T>(static_cast<compute_t<T>>(value));
    T* p = to.mutable_data<T>() + layout.offset;
    cpu::for_each_run(cpu::LoopNest<1>({layout}), [&](std::int64_t n, const auto& at, const auto& step) {
      T* o = p + at[0];
      if (step[0] == 1)
        std::fill_n(o, n, v);
      else
        for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = v;
    });
  });
}

/// The margins around the box [begin, begin + inner): slabs before and after it along each axis, cut to the box on the
/// axes already done, so that every element is written once.
void fill_margins(const Tensor& to, const Dims& begin, const Shape& inner, double value) {
  Layout box = without_offset(to);
  for (int a = 0; a < box.shape.rank(); ++a) {
    const std::int64_t end = begin[a] + inner[a];
    Layout before = box, after = box;
    before.shape[a] = begin[a];
    after.shape[a] = box.shape[a] - end;
    after.offset += end * box.strides[a];
    fill(to, before, value);
    fill(to, after, value);
    box.offset += begin[a] * box.strides[a];
    box.shape[a] = inner[a];
  }
}

}  // namespace

RETORT_CPU_KERNEL(concat) {
  const int axis = call.attrs.as<int>();
  Layout piece = without_offset(call.out[0]);
  for (const Tensor& t : call.in) {
    piece.shape[axis] = t.shape()[axis];
    cpu::copy_elements(t, without_offset(t), call.out[0], piece);
    piece.offset += t.shape()[axis] * piece.strides[axis];
  }
}

RETORT_CPU_KERNEL(embed) {
  const auto& attrs = call.attrs.as<SliceAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  const bool solid = attrs.step == Dims::filled(x.rank(), 1);
  if (solid)
    fill_margins(y, attrs.begin, x.shape(), attrs.value);
  else
    fill(y, without_offset(y), attrs.value);
  cpu::copy_elements(x, without_offset(x), y, sliced_layout(without_offset(y), attrs.begin, attrs.step, x.shape()));
}

RETORT_CPU_KERNEL(flip) {
  const std::uint32_t axes = call.attrs.as<ReduceAttrs>().axes;
  Layout reversed = without_offset(call.in[0]);
  for (int a = 0; a < reversed.shape.rank(); ++a)
    if (axes >> a & 1u) {
      reversed.offset += (reversed.shape[a] - 1) * reversed.strides[a];
      reversed.strides[a] = -reversed.strides[a];
    }
  cpu::copy_elements(call.in[0], reversed, call.out[0], without_offset(call.out[0]));
}

RETORT_CPU_KERNEL(arange) {
  const auto& attrs = call.attrs.as<ArangeAttrs>();
  visit_any(call.out[0].dtype(), [&]<class T>(T) {
    T* p = call.out[0].mutable_data<T>();
    for (std::int64_t i = 0; i < call.out[0].numel(); ++i)
      p[i] = static_cast<T>(static_cast<compute_t<T>>(attrs.begin + attrs.step * static_cast<double>(i)));
  });
}

}  // namespace retort
