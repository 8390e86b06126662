// cuda_kernels/along_axis.cu -- instances and launchers of gather, scatter and scatter-add along an axis.
#include "cuda_kernels/along_axis.cuh"

namespace retort::kernels::RETORT_BACKEND {

/// Calls f(TypeTag<T>{}) with an unsigned number of that many bytes.
template <class F>
static void visit_bytes(const char* name, int bytes, F&& f) {
  switch (bytes) {
    case 1:
      return f(TypeTag<std::uint8_t>{});
    case 2:
      return f(TypeTag<std::uint16_t>{});
    case 4:
      return f(TypeTag<std::uint32_t>{});
    case 8:
      return f(TypeTag<std::uint64_t>{});
    default:
      throw gpu::StateError(std::string(name) + ": elements have 1, 2, 4 or 8 bytes; got " + std::to_string(bytes));
  }
}

void gather_elements(const GatherElements& a, gpu::Stream stream) {
  const std::int64_t n = a.shape.outer * a.shape.count * a.shape.inner;
  if (n == 0) return;
  visit_bytes("gather_elements", a.element_bytes, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n, 128), gather_along<T>, static_cast<const T*>(a.x), a.index,
                  static_cast<T*>(a.y), a.shape);
  });
}

void scatter_elements(const ScatterElements& a, gpu::Stream stream) {
  const std::int64_t lines = a.shape.outer * a.shape.inner;
  if (lines * a.shape.count == 0) return;
  visit_bytes("scatter_elements", a.element_bytes, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(lines, 128), (scatter_along<T, T, false>), static_cast<const T*>(a.x), a.index,
                  static_cast<T*>(a.y), a.shape);
  });
}

void scatter_add_elements(const ScatterAddElements& a, gpu::Stream stream) {
  const std::int64_t lines = a.shape.outer * a.shape.inner;
  if (lines * a.shape.count == 0) return;
  visit_training("scatter_add_elements", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(lines, 128), (scatter_along<T, float, true>), static_cast<const T*>(a.x), a.index,
                  a.y, a.shape);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
