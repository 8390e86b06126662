// cuda_kernels/elementwise_unary.cu -- instances and launcher of unary ops.
#include "cuda_kernels/elementwise.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class F>
static void launch_unary(const Unary& args, gpu::Stream stream) {
  visit_training("unary", args.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool packed = aligned(args.x) && aligned(args.y);
    RETORT_LAUNCH(stream, element_shape<T>(args.n, packed), (map_unary<F, T>), static_cast<const T*>(args.x),
                  static_cast<T*>(args.y), args.n, packed);
  });
}

void unary(const Unary& args, gpu::Stream stream) {
  if (args.n == 0) return;
  switch (args.op) {
#define RETORT_CASE(name, Functor) \
  case UnaryOp::name:              \
    return launch_unary<elementwise::Functor>(args, stream);
    RETORT_UNARY_OPS(RETORT_CASE)
#undef RETORT_CASE
  }
}

}  // namespace retort::kernels::RETORT_BACKEND
