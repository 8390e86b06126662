// cuda_kernels/select.cu -- instances and launchers of choices, bounds, predicates and logic.
#include "cuda_kernels/select.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class T>
static void launch_where(const Where& a, std::int64_t n, const StridedPair& of_b, gpu::Stream stream) {
  RETORT_LAUNCH(stream, threads_for(n), where_strided<T>, static_cast<const bool*>(a.condition),
                static_cast<const T*>(a.a), static_cast<const T*>(a.b), static_cast<T*>(a.y), n, a.shape, of_b);
}

void where(const Where& a, gpu::Stream stream) {
  const std::int64_t n = elements_of(a.shape);
  if (n == 0) return;
  StridedPair of_b = a.shape;
  for (int axis = 0; axis < of_b.rank; ++axis) of_b.second[axis] = a.third[axis];
  switch (a.element_bytes) {
    case 1:
      return launch_where<std::uint8_t>(a, n, of_b, stream);
    case 2:
      return launch_where<std::uint16_t>(a, n, of_b, stream);
    case 4:
      return launch_where<std::uint32_t>(a, n, of_b, stream);
    case 8:
      return launch_where<std::uint64_t>(a, n, of_b, stream);
    default:
      throw gpu::StateError("where: elements have 1, 2, 4 or 8 bytes; got " + std::to_string(a.element_bytes));
  }
}

template <class T, class Y, class F>
static void launch_map(const void* x, void* y, std::int64_t n, F f, gpu::Stream stream) {
  if (n > 0)
    RETORT_LAUNCH(stream, threads_for(n), (map_with<F, T, Y>), static_cast<const T*>(x), static_cast<Y*>(y), n, f);
}

void clamp(const Clamp& a, gpu::Stream stream) {
  visit_training("clamp", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch_map<T, T>(a.x, a.y, a.n, elementwise::Clamp<float>{a.low, a.high}, stream);
  });
}

void leaky_relu(const LeakyRelu& a, gpu::Stream stream) {
  visit_training("leaky_relu", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch_map<T, T>(a.x, a.y, a.n, elementwise::LeakyRelu<float>{a.slope}, stream);
  });
}

void predicate(const Predicate& a, gpu::Stream stream) {
  if (a.test == Test::logical_not) return launch_map<bool, bool>(a.x, a.y, a.n, elementwise::LogicalNot{}, stream);
  visit_training("predicate", a.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (a.test == Test::isnan) return launch_map<T, bool>(a.x, a.y, a.n, elementwise::Isnan{}, stream);
    launch_map<T, bool>(a.x, a.y, a.n, elementwise::Isfinite{}, stream);
  });
}

void logic(const Logic& a, gpu::Stream stream) {
  const std::int64_t n = elements_of(a.shape);
  if (n == 0) return;
  const bool *const left = static_cast<const bool*>(a.a), *const right = static_cast<const bool*>(a.b);
  bool* const y = static_cast<bool*>(a.y);
  if (a.conjunction)
    RETORT_LAUNCH(stream, threads_for(n), logic_strided<elementwise::LogicalAnd>, left, right, y, n, a.shape);
  else
    RETORT_LAUNCH(stream, threads_for(n), logic_strided<elementwise::LogicalOr>, left, right, y, n, a.shape);
}

}  // namespace retort::kernels::RETORT_BACKEND
