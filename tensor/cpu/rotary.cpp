// tensor/cpu/rotary.cpp -- CPU kernel of rotary position embedding: a table of cosines and sines per position, then one
// pass over x.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/cpu/rows.h"
#include "tensor/primitive.h"
#include "tensor/rotary_attrs.h"

namespace retort {

namespace {

/// Per position the cosines of all pairs, then the sines, in the order of `positions`. Angles are f64: positions may be
/// large.
template <class C>
void fill_table(const Tensor& positions, const std::vector<double>& rates, bool inverse, C* table) {
  const auto half = static_cast<std::int64_t>(rates.size()), n = 2 * half;
  const auto at = positions.values<std::int64_t>();
  cpu::parallel_for(static_cast<std::int64_t>(at.size()), std::max<std::int64_t>(1, 1024 / n),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t p = begin; p < end; ++p)
                        for (std::int64_t i = 0; i < half; ++i) {
                          const double angle =
                              static_cast<double>(at[static_cast<std::size_t>(p)]) * rates[static_cast<std::size_t>(i)];
                          table[p * n + i] = static_cast<C>(std::cos(angle));
                          table[p * n + half + i] = static_cast<C>(inverse ? -std::sin(angle) : std::sin(angle));
                        }
                    });
}

/// Turns the first n features.
template <class C>
void turn_row(const C* x, const C* cosine, const C* sine, std::int64_t n, bool interleaved, C* out) {
  const std::int64_t half = n / 2;
  if (interleaved) {
    for (std::int64_t i = 0; i < half; ++i) {
      out[2 * i] = x[2 * i] * cosine[i] - x[2 * i + 1] * sine[i];
      out[2 * i + 1] = x[2 * i] * sine[i] + x[2 * i + 1] * cosine[i];
    }
  } else {
    for (std::int64_t i = 0; i < half; ++i) {
      out[i] = x[i] * cosine[i] - x[half + i] * sine[i];
      out[half + i] = x[i] * sine[i] + x[half + i] * cosine[i];
    }
  }
}
}  // namespace

RETORT_CPU_KERNEL(rotary) {
  const Tensor &x = call.in[0], &positions = call.in[1], &out = call.out[0];
  if (out.numel() == 0) return;
  const auto& attrs = call.attrs.as<RotaryRates>();
  const int axis = x.rank() - 1;
  const std::int64_t n = x.shape()[axis], x_step = x.strides()[axis], out_step = out.strides()[axis];
  const std::vector<double> rates = rates_of(attrs, n);
  const auto turning = 2 * static_cast<std::int64_t>(rates.size());
  const Layout starts = cpu::row_starts(x.layout(), axis);
  // Rows of the table are numbered as the positions are in row-major order.
  const Layout numbers = broadcast_layout({positions.shape(), contiguous_strides(positions.shape()), 0}, starts.shape);
  const cpu::RowNest<3> nest({cpu::row_starts(out.layout(), axis), starts, numbers});
  visit_float(x.dtype(), [&]<class T>(T) {
    using C = compute_t<T>;
    C* const table = reinterpret_cast<C*>(call.scratch);
    fill_table(positions, rates, attrs.inverse, table);
    const T* px = x.data<T>();
    T* po = out.mutable_data<T>();
    cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
      const cpu::Scratch<C> buffer(2 * n);
      nest.walk(begin, end, [&](const auto& at) {
        const C* row = cpu::load_row(px + at[1], n, x_step, buffer.data());
        C* turned = cpu::target_row(po + at[0], out_step, buffer.data() + n);
        const C* cosine = table + at[2] * turning;
        turn_row(row, cosine, cosine + turning / 2, turning, attrs.interleaved, turned);
        std::copy(row + turning, row + n, turned + turning);
        cpu::store_row(turned, po + at[0], n, out_step);
      });
    });
  });
}

}  // namespace retort
