// cuda_kernels/border.cu -- instances and launchers of reads and sums by tables along axes.
#include "cuda_kernels/border.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class Args>
static TableStarts starts_of(const Args& a) {
  TableStarts starts{};
  for (int axis = 0; axis < a.shape.rank; ++axis) starts.axis[axis] = a.begin[axis];
  return starts;
}

template <class T>
static void launch_read(const ReadByTables& a, std::int64_t n, gpu::Stream stream) {
  RETORT_LAUNCH(stream, threads_for(n), read_elements<T>, static_cast<const T*>(a.x), static_cast<T*>(a.y), a.tables,
                starts_of(a), a.shape, n);
}

void read_by_tables(const ReadByTables& a, gpu::Stream stream) {
  const std::int64_t n = elements_of(a.shape);
  if (n == 0) return;
  switch (a.element_bytes) {
    case 1:
      return launch_read<std::uint8_t>(a, n, stream);
    case 2:
      return launch_read<std::uint16_t>(a, n, stream);
    case 4:
      return launch_read<std::uint32_t>(a, n, stream);
    case 8:
      return launch_read<std::uint64_t>(a, n, stream);
    default:
      throw gpu::StateError("read_by_tables: elements have 1, 2, 4 or 8 bytes; got " + std::to_string(a.element_bytes));
  }
}

void sum_by_tables(const SumByTables& a, gpu::Stream stream) {
  const std::int64_t n = elements_of(a.shape);
  if (n == 0) return;
  visit_training("sum_by_tables", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n), sum_elements<T>, static_cast<const T*>(a.x), static_cast<T*>(a.y), a.tables,
                  starts_of(a), a.shape, n);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
