// cuda_kernels/copy.cu -- instances and launcher of copies.
#include "cuda_kernels/copy.cuh"

namespace retort::kernels::RETORT_BACKEND {

template <class F>
static void visit_copied(Type type, F&& f) {
  switch (type) {
    case Type::i64:
      return f(TypeTag<std::int64_t>{});
    case Type::i32:
      return f(TypeTag<std::int32_t>{});
    case Type::u8:
      return f(TypeTag<std::uint8_t>{});
    default:
      return visit_float("copy", type, f);
  }
}

void copy(const Copy& args, gpu::Stream stream) {
  std::int64_t n = 1;
  for (int axis = 0; axis < args.shape.rank; ++axis) n *= args.shape.extent[axis];
  if (n == 0) return;
  visit_copied(args.from, [&](auto from) {
    visit_copied(args.to, [&](auto to) {
      using From = typename decltype(from)::type;
      using To = typename decltype(to)::type;
      RETORT_LAUNCH(stream, (gpu::LaunchShape{{blocks_for(n, 256)}, {256}}), (copy_strided<From, To>),
                    static_cast<const From*>(args.x), static_cast<To*>(args.y), n, args.shape);
    });
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
