// cuda_kernels/elementwise_binary.cu -- instances and launcher of binary ops and comparisons.
#include "cuda_kernels/elementwise.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class F, bool kComparison>
static void launch_binary(const Binary& args, gpu::Stream stream) {
  const std::int64_t n = elements_of(args.shape);
  if (n == 0) return;
  if constexpr (kComparison)
    if (args.type == Type::i64) {
      using I = std::int64_t;
      RETORT_LAUNCH(stream, threads_for(n), (map_binary_strided<F, I, bool>), static_cast<const I*>(args.a),
                    static_cast<const I*>(args.b), static_cast<bool*>(args.y), n, args.shape);
      return;
    }
  visit_training("binary", args.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = std::conditional_t<kComparison, bool, T>;
    const T *const a = static_cast<const T*>(args.a), *const b = static_cast<const T*>(args.b);
    R* const y = static_cast<R*>(args.y);
    if (dense(args.shape, args.shape.first) && dense(args.shape, args.shape.second)) {
      const bool packed = aligned(a) && aligned(b) && aligned(y);
      RETORT_LAUNCH(stream, element_shape<T>(n, packed), (map_binary<F, T, R>), a, b, y, n, packed);
    } else {
      RETORT_LAUNCH(stream, element_shape<T>(n, false), (map_binary_strided<F, T, R>), a, b, y, n, args.shape);
    }
  });
}

void binary(const Binary& args, gpu::Stream stream) {
  switch (args.op) {
#define RETORT_CASE(name, Functor) \
  case BinaryOp::name:             \
    return launch_binary<elementwise::Functor, false>(args, stream);
    RETORT_BINARY_OPS(RETORT_CASE)
#undef RETORT_CASE
#define RETORT_CASE(name, Functor) \
  case BinaryOp::name:             \
    return launch_binary<elementwise::Functor, true>(args, stream);
    RETORT_COMPARISON_OPS(RETORT_CASE)
#undef RETORT_CASE
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
