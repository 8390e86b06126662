// tensor/cpu/index.cpp -- CPU kernels that read and add by index. Every output element is written by one thread, its
// terms in the order of the indices.
#include <algorithm>
#include <array>
#include <vector>

#include "tensor/attrs.h"
#include "tensor/cpu/loops.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

[[noreturn]] void out_of_range(std::string_view op, std::int64_t index, int axis, std::int64_t extent) {
  throw ValueError("{}: index {} is out of range for axis {} of extent {}", op, index, axis, extent);
}

std::vector<std::int64_t> checked_indices(const Tensor& indices, std::string_view op, int axis, std::int64_t extent) {
  std::vector<std::int64_t> list = indices.values<std::int64_t>();
  for (const std::int64_t i : list)
    if (i < 0 || i >= extent) out_of_range(op, i, axis, extent);
  return list;
}

/// `layout`, whose axes from `axis` on are those of an index of rank `rank`, cut into the offsets of its slices (one
/// per index, row-major) and the layout of one slice.
struct Slices {
  std::vector<std::int64_t> offset;
  Layout each;
  Slices(const Layout& layout, int axis, int rank) : each{layout.shape, layout.strides, 0} {
    Layout along;
    for (int i = 0; i < rank; ++i) {
      along.shape.push_back(each.shape[axis]);
      along.strides.push_back(each.strides[axis]);
      each.shape.erase(axis);
      each.strides.erase(axis);
    }
    for_each_offset(along, [&](std::int64_t o) { offset.push_back(o); });
  }
};

std::int64_t slices_per_block(std::int64_t slice) {
  return std::max<std::int64_t>(1, cpu::kGrain / std::max<std::int64_t>(slice, 1));
}

}  // namespace

RETORT_CPU_KERNEL(index_select) {
  const Tensor &x = call.in[0], &y = call.out[0];
  const int axis = call.attrs.as<IndexAttrs>().axis;
  const auto index = checked_indices(call.in[1], "index_select", axis, x.shape()[axis]);
  if (y.numel() == 0) return;
  const Slices to(y.layout(), axis, call.in[1].rank()), from(x.layout(), axis, 1);
  const cpu::LoopNest<2> nest({to.each, from.each});
  visit_any(x.dtype(), [&]<class T>(T) {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    const auto count = static_cast<std::int64_t>(index.size());
    cpu::parallel_for(count, slices_per_block(to.each.numel()), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        const T* source = px + index[static_cast<std::size_t>(k)] * x.strides()[axis];
        T* target = py + to.offset[static_cast<std::size_t>(k)];
        cpu::for_each_row(nest, 0, nest.rows(), [&](std::int64_t n, const auto& at, const auto& step) {
          const T* a = source + at[1];
          T* o = target + at[0];
          if (step[0] == 1 && step[1] == 1)
            std::copy_n(a, n, o);
          else
            for (std::int64_t i = 0; i < n; ++i) o[i * step[0]] = a[i * step[1]];
        });
      }
    });
  });
}

RETORT_CPU_KERNEL(index_add) {
  constexpr std::int64_t kColumns = 256;
  const Tensor &src = call.in[0], &y = call.out[0];
  const auto& attrs = call.attrs.as<IndexAttrs>();
  const auto index = checked_indices(call.in[1], "index_add", attrs.axis, attrs.extent);
  if (y.numel() == 0) return;
  // The positions of each index, in order: a counting sort.
  std::vector<std::int64_t> first(static_cast<std::size_t>(attrs.extent) + 1), position(index.size());
  for (const std::int64_t i : index) ++first[static_cast<std::size_t>(i) + 1];
  for (std::size_t i = 1; i < first.size(); ++i) first[i] += first[i - 1];
  std::vector<std::int64_t> next(first.begin(), first.end() - 1);
  const Slices from(src.layout(), attrs.axis, call.in[1].rank()), to(y.layout(), attrs.axis, 1);
  for (std::size_t k = 0; k < index.size(); ++k)
    position[static_cast<std::size_t>(next[static_cast<std::size_t>(index[k])]++)] = from.offset[k];
  const cpu::LoopNest<2> nest({to.each, from.each});
  visit_float(src.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const T* ps = src.numel() > 0 ? src.data<T>() : nullptr;
    T* py = y.mutable_data<T>();
    cpu::parallel_for(attrs.extent, slices_per_block(to.each.numel()), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t v = begin; v < end; ++v) {
        const std::span terms(position.data() + first[static_cast<std::size_t>(v)],
                              position.data() + first[static_cast<std::size_t>(v) + 1]);
        T* target = py + to.offset[static_cast<std::size_t>(v)];
        cpu::for_each_row(nest, 0, nest.rows(), [&](std::int64_t n, const auto& at, const auto& step) {
          std::array<C, kColumns> sum;
          for (std::int64_t c = 0; c < n; c += kColumns) {
            const auto width = static_cast<std::size_t>(std::min(kColumns, n - c));
            std::fill_n(sum.begin(), width, C(0));
            for (const std::int64_t term : terms) {
              const T* a = ps + term + at[1] + c * step[1];
              if (step[1] == 1)
                for (std::size_t i = 0; i < width; ++i) sum[i] += static_cast<C>(a[i]);
              else
                for (std::size_t i = 0; i < width; ++i)
                  sum[i] += static_cast<C>(a[static_cast<std::int64_t>(i) * step[1]]);
            }
            T* o = target + at[0] + c * step[0];
            for (std::size_t i = 0; i < width; ++i) o[static_cast<std::int64_t>(i) * step[0]] = static_cast<T>(sum[i]);
          }
        });
      }
    });
  });
}

RETORT_CPU_KERNEL(gather) {
  const Tensor &x = call.in[0], &index = call.in[1], &y = call.out[0];
  const int axis = call.attrs.as<IndexAttrs>().axis;
  const std::int64_t n = y.shape()[axis], extent = x.shape()[axis];
  const std::int64_t sx = x.strides()[axis], si = index.strides()[axis], sy = y.strides()[axis];
  if (y.numel() == 0) return;
  if (extent == 0) out_of_range("gather", index.values<std::int64_t>()[0], axis, extent);
  const std::int64_t* pi = index.data<std::int64_t>();
  visit_any(x.dtype(), [&]<class T>(T) {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    cpu::for_each_line<3>({y.layout(), x.layout(), index.layout()}, axis, [&](const auto& at) {
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = pi[at[2] + k * si];
        if (i < 0 || i >= extent) out_of_range("gather", i, axis, extent);
        py[at[0] + k * sy] = px[at[1] + i * sx];
      }
    });
  });
}

RETORT_CPU_KERNEL(scatter_add) {
  const Tensor &src = call.in[0], &index = call.in[1], &y = call.out[0];
  const auto& attrs = call.attrs.as<IndexAttrs>();
  const int axis = attrs.axis;
  const std::int64_t n = src.shape()[axis];
  const std::int64_t ss = src.strides()[axis], si = index.strides()[axis], sy = y.strides()[axis];
  if (src.numel() > 0 && attrs.extent == 0)
    out_of_range("scatter_add", index.values<std::int64_t>()[0], axis, attrs.extent);
  if (y.numel() == 0) return;
  const std::int64_t* pi = src.numel() > 0 ? index.data<std::int64_t>() : nullptr;
  visit_float(src.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    const T* ps = src.numel() > 0 ? src.data<T>() : nullptr;
    T* py = y.mutable_data<T>();
    C* sum = reinterpret_cast<C*>(call.scratch);
    if constexpr (std::is_same_v<T, C>) sum = py;
    cpu::for_each_line<3>({y.layout(), src.layout(), index.layout()}, axis, [&](const auto& at) {
      for (std::int64_t k = 0; k < attrs.extent; ++k) sum[at[0] + k * sy] = C(0);
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = pi[at[2] + k * si];
        if (i < 0 || i >= attrs.extent) out_of_range("scatter_add", i, axis, attrs.extent);
        sum[at[0] + i * sy] += static_cast<C>(ps[at[1] + k * ss]);
      }
      if constexpr (!std::is_same_v<T, C>)
        for (std::int64_t k = 0; k < attrs.extent; ++k) py[at[0] + k * sy] = static_cast<T>(sum[at[0] + k * sy]);
    });
  });
}

RETORT_CPU_KERNEL(scatter) {
  const Tensor &x = call.in[0], &index = call.in[1], &src = call.in[2], &y = call.out[0];
  const int axis = call.attrs.as<IndexAttrs>().axis;
  const std::int64_t n = index.shape()[axis], extent = y.shape()[axis];
  if (index.numel() > 0 && extent == 0) out_of_range("scatter", index.values<std::int64_t>()[0], axis, extent);
  if (y.numel() == 0) return;
  const std::int64_t sx = x.strides()[axis], si = index.strides()[axis], ss = src.strides()[axis],
                     sy = y.strides()[axis];
  const std::int64_t* pi = n > 0 ? index.data<std::int64_t>() : nullptr;
  visit_any(x.dtype(), [&]<class T>(T) {
    const T *px = x.data<T>(), *ps = n > 0 ? src.data<T>() : nullptr;
    T* py = y.mutable_data<T>();
    cpu::for_each_line<4>({y.layout(), x.layout(), index.layout(), src.layout()}, axis, [&](const auto& at) {
      for (std::int64_t k = 0; k < extent; ++k) py[at[0] + k * sy] = px[at[1] + k * sx];
      for (std::int64_t k = 0; k < n; ++k) {
        const std::int64_t i = pi[at[2] + k * si];
        if (i < 0 || i >= extent) out_of_range("scatter", i, axis, extent);
        py[at[0] + i * sy] = ps[at[3] + k * ss];
      }
    });
  });
}

RETORT_CPU_KERNEL(bincount) {
  const std::int64_t bins = call.out[0].numel();
  std::int64_t* count = call.out[0].mutable_data<std::int64_t>();
  std::fill_n(count, bins, 0);
  for (const std::int64_t id : checked_indices(call.in[0], "bincount", 0, bins)) ++count[id];
}

RETORT_CPU_KERNEL(one_hot) {
  const std::int64_t classes = call.out[0].shape().back();
  const auto ids = checked_indices(call.in[0], "one_hot", call.out[0].rank() - 1, classes);
  visit_any(call.out[0].dtype(), [&]<class T>(T) {
    T* py = call.out[0].mutable_data<T>();
    std::fill_n(py, call.out[0].numel(), static_cast<T>(compute_t<T>(0)));
    for (std::size_t k = 0; k < ids.size(); ++k)
      py[static_cast<std::int64_t>(k) * classes + ids[k]] = static_cast<T>(compute_t<T>(1));
  });
}

}  // namespace retort
