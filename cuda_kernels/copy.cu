// cuda_kernels/copy.cu -- instances and launcher of copies.
#include "cuda_kernels/copy.cuh"

namespace retort::kernels::RETORT_BACKEND {

void copy(const Copy& args, gpu::Stream stream) {
  const std::int64_t n = elements_of(args.shape);
  if (n == 0) return;
  visit_every("copy", args.from, [&](auto from) {
    visit_every("copy", args.to, [&](auto to) {
      using From = typename decltype(from)::type;
      using To = typename decltype(to)::type;
      RETORT_LAUNCH(stream, threads_for(n), (copy_strided<From, To>), static_cast<const From*>(args.x),
                    static_cast<To*>(args.y), n, args.shape);
    });
  });
}

}  // namespace retort::kernels::RETORT_BACKEND
