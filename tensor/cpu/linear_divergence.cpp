// tensor/cpu/linear_divergence.cpp -- CPU kernels of divergences between two linear heads: a chunk of rows of logits
// exists at a time, so memory does not grow with rows x classes.
#include "tensor/cpu/divergence_rows.h"
#include "tensor/cpu/gemm.h"
#include "tensor/logit_chunks.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
template <class T>
cpu::MatrixView<T> matrix(const Tensor& t) {
  return {t.data<T>(), t.strides()[0], t.strides()[1]};
}

/// hidden [N, d], weight [V, d], bias [V] or absent: logits of some rows in compute type.
template <class T>
class Head {
 public:
  using C = compute_t<T>;
  Head(const Tensor& hidden, const Tensor& weight, const Tensor& bias)
      : hidden_(matrix<T>(hidden)), weight_(matrix<T>(weight)), width_(hidden.shape()[1]), classes_(weight.shape()[0]) {
    if (!bias.defined()) return;
    bias_.resize(static_cast<std::size_t>(classes_));
    cpu::load_vector(bias, classes_, C(0), bias_.data());
  }
  std::int64_t width() const { return width_; }
  std::int64_t classes() const { return classes_; }
  const cpu::MatrixView<T>& weight() const { return weight_; }
  cpu::MatrixView<T> rows(std::int64_t begin) const {
    return {hidden_.data + begin * hidden_.row_stride, hidden_.row_stride, hidden_.col_stride};
  }
  void logits(std::int64_t begin, std::int64_t count, C* out) const {
    const cpu::MatrixView<T> transposed{weight_.data, weight_.col_stride, weight_.row_stride};
    cpu::gemm<T, C>(count, classes_, width_, 1, rows(begin), transposed, 0, out, classes_);
  }
  void add_bias(C* row) const {
    for (std::size_t i = 0; i < bias_.size(); ++i) row[i] += bias_[i];
  }

 private:
  cpu::MatrixView<T> hidden_, weight_;
  std::int64_t width_, classes_;
  std::vector<C> bias_;
};

/// Calls f(row of the tensors, DivergenceRow) for every row with both sides loaded; `between` runs after each chunk.
template <class T, class F, class Between>
void for_each_row(const KernelCall& call, const Head<T>& student, const Head<T>& teacher, F&& f, Between&& between) {
  using C = compute_t<T>;
  const auto& attrs = call.attrs.as<DivergenceAttrs>();
  const std::int64_t rows = call.in[0].shape()[0], n = student.classes(), chunk = rows_per_chunk(n, sizeof(C));
  const cpu::Scratch<C> student_logits(std::min(chunk, rows) * n), teacher_logits(std::min(chunk, rows) * n);
  for (std::int64_t begin = 0; begin < rows; begin += chunk) {
    const std::int64_t count = std::min(chunk, rows - begin);
    student.logits(begin, count, student_logits.data());
    teacher.logits(begin, count, teacher_logits.data());
    cpu::parallel_for(count, cpu::rows_per_task(n), [&](std::int64_t first, std::int64_t last) {
      cpu::DivergenceRow<C> row(attrs, n);
      for (std::int64_t i = first; i < last; ++i) {
        C *const s = student_logits.data() + i * n, *const t = teacher_logits.data() + i * n;
        student.add_bias(s);
        teacher.add_bias(t);
        row.load_student(s);
        row.load_teacher(t);
        f(begin + i, row, s);
      }
    });
    between(begin, count, student_logits.data());
  }
}

template <class T>
void values(const KernelCall& call) {
  using C = compute_t<T>;
  const Head<T> student(call.in[0], call.in[1], call.in[2]), teacher(call.in[3], call.in[4], call.in[5]);
  C* const out = call.out[0].mutable_data<C>();
  for_each_row(
      call, student, teacher, [&](std::int64_t i, cpu::DivergenceRow<C>& row, C*) { out[i] = row.value(); },
      [](std::int64_t, std::int64_t, C*) {});
}

/// Logits of a chunk are computed again, their gradient G takes their place, then hidden gets G w, the weight gets
/// G' hidden and the bias the column sums of G. 16-bit weights collect their gradient in f32.
template <class T>
void gradients(const KernelCall& call) {
  using C = compute_t<T>;
  const Head<T> student(call.in[0], call.in[1], call.in[2]), teacher(call.in[3], call.in[4], call.in[5]);
  const Tensor& cot = call.in[6];
  const std::int64_t rows = call.in[0].shape()[0], n = student.classes(), d = student.width();
  const bool has_bias = call.in[2].defined();
  T* const to_hidden = call.out[0].mutable_data<T>();
  constexpr bool kWide = std::is_same_v<T, C>;
  const std::int64_t chunk = std::min(rows_per_chunk(n, sizeof(C)), rows);
  const cpu::Scratch<T> rounded(kWide ? 0 : chunk * n);
  const cpu::Scratch<C> collected(kWide ? 0 : n * d);
  C* to_weight = collected.data();
  if constexpr (kWide) to_weight = call.out[1].mutable_data<T>();
  if (rows == 0) std::fill_n(to_weight, n * d, C(0));
  std::vector<C> to_bias(has_bias ? static_cast<std::size_t>(n) : 0);

  for_each_row(
      call, student, teacher,
      [&](std::int64_t i, cpu::DivergenceRow<C>& row, C* logits) {
        std::copy_n(row.gradient(cot.data<C>()[i * cot.strides()[0]]), n, logits);
      },
      [&](std::int64_t begin, std::int64_t count, C* g) {
        const T* factors = rounded.data();
        if constexpr (kWide) {
          factors = g;
        } else {
          cpu::parallel_for(count * n, 16 * 1024, [&](std::int64_t first, std::int64_t last) {
            for (std::int64_t i = first; i < last; ++i) rounded[i] = static_cast<T>(g[i]);
          });
        }
        const cpu::MatrixView<T> grad{factors, n, 1}, transposed{factors, 1, n};
        cpu::gemm<T, T>(count, d, n, 1, grad, student.weight(), 0, to_hidden + begin * d, d);
        cpu::gemm<T, C>(n, d, count, 1, transposed, student.rows(begin), begin == 0 ? 0 : 1, to_weight, d);
        if (!has_bias) return;
        cpu::parallel_for(n, 1024, [&](std::int64_t first, std::int64_t last) {
          for (std::int64_t r = 0; r < count; ++r)
            for (std::int64_t i = first; i < last; ++i) to_bias[static_cast<std::size_t>(i)] += g[r * n + i];
        });
      });
  if constexpr (!kWide) {
    T* const out = call.out[1].mutable_data<T>();
    cpu::parallel_for(n * d, 16 * 1024, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>(to_weight[i]);
    });
  }
  if (has_bias) cpu::store_vector(to_bias.data(), n, call.out[2]);
}
}  // namespace

RETORT_CPU_KERNEL(linear_divergence) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { values<T>(call); });
}
RETORT_CPU_KERNEL(linear_divergence_backward) {
  visit_float(call.in[0].dtype(), [&]<class T>(T) { gradients<T>(call); });
}

}  // namespace retort
