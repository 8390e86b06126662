// tensor/cpu/divergence.cpp -- CPU kernels of the divergences between student and teacher logits, one pass over a row.
#include "tensor/cpu/divergence_rows.h"
#include "tensor/primitive.h"

namespace retort {

namespace {
template <class C>
void divergence_rows(const KernelCall& call) {
  const auto& attrs = call.attrs.as<DivergenceAttrs>();
  const cpu::LogitRows<C> student(call.in[0]), teacher(call.in[1]);
  const std::int64_t n = student.classes();
  const cpu::RowNest<3> nest({call.out[0].layout(), student.starts(), teacher.starts()});
  C* const value = call.out[0].mutable_data<C>();
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    cpu::DivergenceRow<C> row(attrs, n);
    nest.walk(begin, end, [&](const auto& at) {
      row.load_student(student.row(at[1], row.raw()));
      row.load_teacher(teacher.row(at[2], row.raw()));
      value[at[0]] = row.value();
    });
  });
}

template <class C>
void divergence_gradients(const KernelCall& call) {
  const auto& attrs = call.attrs.as<DivergenceAttrs>();
  const cpu::LogitRows<C> student(call.in[0]), teacher(call.in[1]), gradient(call.out[0]);
  const Tensor& cot = call.in[2];
  const std::int64_t n = student.classes();
  const cpu::RowNest<4> nest({gradient.starts(), student.starts(), teacher.starts(), cot.layout()});
  cpu::parallel_for(nest.rows(), cpu::rows_per_task(n), [&](std::int64_t begin, std::int64_t end) {
    cpu::DivergenceRow<C> row(attrs, n);
    nest.walk(begin, end, [&](const auto& at) {
      row.load_student(student.row(at[1], row.raw()));
      row.load_teacher(teacher.row(at[2], row.raw()));
      gradient.store(row.gradient(cot.data<C>()[at[3]]), at[0]);
    });
  });
}
}  // namespace

RETORT_CPU_KERNEL(divergence) {
  cpu::visit_compute(call.out[0].dtype(), [&]<class C>(C) { divergence_rows<C>(call); });
}
RETORT_CPU_KERNEL(divergence_backward) {
  cpu::visit_compute(call.in[2].dtype(), [&]<class C>(C) { divergence_gradients<C>(call); });
}

}  // namespace retort
