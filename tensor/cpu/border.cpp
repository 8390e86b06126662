// tensor/cpu/border.cpp -- CPU kernels that repeat parts of a tensor along its axes: borders and their adjoint, roll.
#include <algorithm>
#include <array>

#include "tensor/attrs.h"
#include "tensor/cpu/copy.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

Layout without_offset(const Tensor& t) { return {t.shape(), t.strides(), 0}; }

/// `layout` limited to `count` positions along an axis, from `begin` in steps of `step` (which may be 0 or -1).
Layout along(Layout layout, int axis, std::int64_t begin, std::int64_t count, std::int64_t step = 1) {
  layout.offset += begin * layout.strides[axis];
  layout.shape[axis] = count;
  layout.strides[axis] *= step;
  return layout;
}

/// One side of the border along an axis: padded positions [begin, begin + count) repeat source, source + step, ...
struct Side {
  std::int64_t begin, count, source, step;
};
std::array<Side, 2> sides(PadMode mode, std::int64_t before, std::int64_t extent, std::int64_t after) {
  const std::int64_t end = before + extent;
  switch (mode) {
    case PadMode::reflect:
      return {{{0, before, 2 * before, -1}, {end, after, end - 2, -1}}};
    case PadMode::replicate:
      return {{{0, before, before, 0}, {end, after, end - 1, 0}}};
    default:
      return {{{0, before, extent, 1}, {end, after, before, 1}}};
  }
}

/// Calls f(side, axis, box) for both sides of every axis, in an order in which each side's sources are complete when
/// its turn comes: `box` spans the padded extent of earlier axes, and of later ones the inner part only.
template <class F>
void for_each_side(const Layout& padded, const Shape& inner, const PadBorderAttrs& attrs, F&& f) {
  Layout box = padded;
  for (int a = 0; a < inner.rank(); ++a) box = along(box, a, attrs.before[a], inner[a]);
  for (int a = 0; a < inner.rank(); ++a) {
    box.shape[a] = padded.shape[a];
    box.offset -= attrs.before[a] * padded.strides[a];
    for (const Side& side : sides(attrs.mode, attrs.before[a], inner[a], padded.shape[a] - attrs.before[a] - inner[a]))
      if (side.count > 0) f(side, a, box);
  }
}

/// to[...] = from[...] converted, over layouts of one shape.
template <class From, class To>
void convert(const From* from, const Layout& from_layout, To* to, const Layout& to_layout) {
  if (to_layout.numel() == 0) return;
  cpu::for_each_run(cpu::LoopNest<2>({to_layout, from_layout}), [&](std::int64_t n, const auto& at, const auto& step) {
    const From* a = from + from_layout.offset + at[1];
    To* o = to + to_layout.offset + at[0];
    if (step[0] == 1 && step[1] == 1)
      for (std::int64_t i = 0; i < n; ++i) o[i] = static_cast<To>(a[i]);
    else
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = static_cast<To>(a[i * step[1]]);
  });
}

/// values[to] += values[from] over disjoint layouts of one shape.
template <class C>
void add_within(C* values, const Layout& from, const Layout& to) {
  if (to.numel() == 0) return;
  cpu::for_each_run(cpu::LoopNest<2>({to, from}), [&](std::int64_t n, const auto& at, const auto& step) {
    const C* a = values + from.offset + at[1];
    C* o = values + to.offset + at[0];
    if (step[0] == 1 && step[1] == 1)
      for (std::int64_t i = 0; i < n; ++i) o[i] += a[i];
    else
      for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] += a[i * step[1]];
  });
}

/// Copies x to y, of which the last part of every axis with a shift comes first.
void copy_rolled(const Tensor& x, const Tensor& y, const Dims& shift, int axis, const Layout& from, const Layout& to) {
  if (axis == shift.rank()) return cpu::copy_elements(x, from, y, to);
  const std::int64_t s = shift[axis], rest = to.shape[axis] - s;
  if (s == 0) return copy_rolled(x, y, shift, axis + 1, from, to);
  copy_rolled(x, y, shift, axis + 1, along(from, axis, 0, rest), along(to, axis, s, rest));
  copy_rolled(x, y, shift, axis + 1, along(from, axis, rest, s), along(to, axis, 0, s));
}

}  // namespace

RETORT_CPU_KERNEL(pad_border) {
  const auto& attrs = call.attrs.as<PadBorderAttrs>();
  const Tensor &x = call.in[0], &y = call.out[0];
  const Layout whole = without_offset(y);
  cpu::copy_elements(x, without_offset(x), y, sliced_layout(whole, attrs.before, Dims::filled(x.rank(), 1), x.shape()));
  for_each_side(whole, x.shape(), attrs, [&](const Side& side, int axis, const Layout& box) {
    cpu::copy_elements(y, along(box, axis, side.source, side.count, side.step), y,
                       along(box, axis, side.begin, side.count));
  });
}

RETORT_CPU_KERNEL(pad_border_grad) {
  const auto& attrs = call.attrs.as<PadBorderAttrs>();
  const Tensor &cot = call.in[0], &dx = call.out[0];
  const Layout whole{cot.shape(), strides_ordered_like(cot.layout(), cot.shape()), 0};
  struct Turn {
    Side side;
    int axis;
    Layout box;
  };
  std::vector<Turn> turns;
  for_each_side(whole, dx.shape(), attrs, [&](const Side& side, int axis, const Layout& box) {
    turns.push_back({side, axis, box});
  });
  std::reverse(turns.begin(), turns.end());
  visit_float(cot.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    C* sums = reinterpret_cast<C*>(call.scratch);
    convert(cot.data<T>(), without_offset(cot), sums, whole);
    // One position at a time: several may repeat the same source.
    for (const auto& [side, axis, box] : turns)
      for (std::int64_t i = 0; i < side.count; ++i)
        add_within(sums, along(box, axis, side.begin + i, 1), along(box, axis, side.source + i * side.step, 1));
    convert(sums, sliced_layout(whole, attrs.before, Dims::filled(dx.rank(), 1), dx.shape()), dx.mutable_data<T>(),
            without_offset(dx));
  });
}

RETORT_CPU_KERNEL(roll) {
  const Tensor &x = call.in[0], &y = call.out[0];
  copy_rolled(x, y, call.attrs.as<Dims>(), 0, without_offset(x), without_offset(y));
}

}  // namespace retort
