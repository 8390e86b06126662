// cuda_kernels/write.cu -- instances and launchers of writes in place.
#include "cuda_kernels/write.cuh"

namespace retort::kernels::RETORT_BACKEND {

void fill(const Fill& args, gpu::Stream stream) {
  const std::int64_t n = elements_of(args.shape);
  if (n == 0) return;
  visit_every("fill", args.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n), fill_strided<T>, static_cast<T*>(args.y), narrow<T>(args.value), n,
                  args.shape);
  });
}

void accumulate(const Accumulate& args, gpu::Stream stream) {
  const std::int64_t n = elements_of(args.shape);
  if (n == 0) return;
  visit_floating("accumulate", args.from, [&](auto from) {
    visit_floating("accumulate", args.to, [&](auto to) {
      using From = typename decltype(from)::type;
      using To = typename decltype(to)::type;
      RETORT_LAUNCH(stream, threads_for(n), (accumulate_strided<From, To>), static_cast<const From*>(args.x),
                    static_cast<To*>(args.y), n, args.shape);
    });
  });
}

void scale(const Scale& args, gpu::Stream stream) {
  const std::int64_t n = elements_of(args.shape);
  if (n == 0) return;
  visit_floating("scale", args.type, [&](auto tag) {
    using T = typename decltype(tag)::type;
    RETORT_LAUNCH(stream, threads_for(n), scale_strided<T>, static_cast<T*>(args.y), args.factor, n, args.shape);
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
