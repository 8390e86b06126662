// tensor/cpu/sinkhorn.cpp -- CPU kernel of entropic transport: potentials fitted to rows and columns in turn, on
// logarithms. The scaled costs live where the plan will.
#include <array>

#include "tensor/attrs.h"
#include "tensor/cpu/copy.h"
#include "tensor/cpu/rows.h"
#include "tensor/math.h"
#include "tensor/primitive.h"

namespace retort {

namespace {

constexpr std::int64_t kColumns = 256;  ///< columns that are summed together

/// One matrix of a batch: m [rows, columns] holds -cost / epsilon; f and g are potentials over epsilon.
template <class T>
struct Problem {
  T* m;
  const T *log_rows, *log_columns;
  T *f, *g;
  std::int64_t rows, columns;

  /// f_i = log a_i - log sum_j e^(m_ij + g_j).
  void fit_rows() const {
    cpu::parallel_for(rows, cpu::rows_per_task(columns), [&](std::int64_t begin, std::int64_t end) {
      std::array<T, kColumns> buffer;
      for (std::int64_t i = begin; i < end; ++i) {
        const T* row = m + i * columns;
        T top = -std::numeric_limits<T>::infinity();
        for (std::int64_t j = 0; j < columns; ++j) top = std::max(top, row[j] + g[j]);
        T total = 0;
        for (std::int64_t c = 0; c < columns; c += kColumns) {
          const std::int64_t n = std::min(kColumns, columns - c);
          for (std::int64_t j = 0; j < n; ++j)
            buffer[static_cast<std::size_t>(j)] = exp_fast(row[c + j] + g[c + j] - top);
          total += cpu::lane_sum<T>(n, [&](std::int64_t j) { return buffer[static_cast<std::size_t>(j)]; });
        }
        f[i] = log_rows[i] - (top + log_fast(total));
      }
    });
  }

  /// g_j = log b_j - log sum_i e^(m_ij + f_i).
  void fit_columns() const {
    cpu::parallel_for(columns, kColumns, [&](std::int64_t begin, std::int64_t end) {
      std::array<T, kColumns> top, total;
      top.fill(-std::numeric_limits<T>::infinity());
      total.fill(0);
      const auto n = static_cast<std::size_t>(end - begin);
      for (std::int64_t i = 0; i < rows; ++i) {
        const T* row = m + i * columns + begin;
        for (std::size_t j = 0; j < n; ++j) top[j] = std::max(top[j], row[j] + f[i]);
      }
      for (std::int64_t i = 0; i < rows; ++i) {
        const T* row = m + i * columns + begin;
        for (std::size_t j = 0; j < n; ++j) total[j] += exp_fast(row[j] + f[i] - top[j]);
      }
      for (std::size_t j = 0; j < n; ++j)
        g[begin + static_cast<std::int64_t>(j)] =
            log_columns[begin + static_cast<std::int64_t>(j)] - (top[j] + log_fast(total[j]));
    });
  }

  void finish() const {
    cpu::parallel_for(rows, cpu::rows_per_task(columns), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        for (std::int64_t j = 0; j < columns; ++j) m[i * columns + j] = exp_fast(m[i * columns + j] + f[i] + g[j]);
    });
  }
};

template <class T>
void solve_batch(const KernelCall& call) {
  const auto& attrs = call.attrs.as<SinkhornAttrs>();
  const Tensor &cost = call.in[0], &plan = call.out[0];
  const std::int64_t rows = cost.size(-2), columns = cost.size(-1), batches = plan.numel() / (rows * columns);
  cpu::copy_elements(cost, {cost.shape(), cost.strides(), 0}, plan, {plan.shape(), plan.strides(), 0});
  T* m = plan.mutable_data<T>();
  const T scale = static_cast<T>(-1 / attrs.epsilon);
  for (std::int64_t i = 0; i < plan.numel(); ++i) m[i] *= scale;
  std::array<std::vector<T>, 2> logs;
  for (const std::size_t i : {0u, 1u}) {
    logs[i] = call.in[i + 1].values<T>();
    for (T& v : logs[i]) v = log_fast(v);
  }
  T* const f = reinterpret_cast<T*>(call.scratch);
  T* const g = f + batches * rows;
  std::fill_n(g, batches * columns, T(0));
  cpu::parallel_for(batches, std::max<std::int64_t>(1, 1024 / (rows * columns)),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t b = begin; b < end; ++b) {
                        const Problem<T> p{m + b * rows * columns,
                                           logs[0].data() + b * rows,
                                           logs[1].data() + b * columns,
                                           f + b * rows,
                                           g + b * columns,
                                           rows,
                                           columns};
                        for (int i = 0; i < attrs.iterations; ++i) {
                          p.fit_rows();
                          p.fit_columns();
                        }
                        p.finish();
                      }
                    });
}

void sinkhorn(const KernelCall& call) {
  if (call.out[0].numel() == 0) return;
  if (call.out[0].dtype() == DType::f64)
    solve_batch<double>(call);
  else
    solve_batch<float>(call);
}

}  // namespace

RETORT_CPU_KERNEL(sinkhorn) { sinkhorn(call); }
RETORT_CPU_KERNEL(sinkhorn_implicit) { sinkhorn(call); }

}  // namespace retort
